// From what a mount is of to what carries its calls out.
import { GridConnection } from '../client/connection.ts'
import { type Volume, type VolumeOptions } from '../client/volume.ts'
import { MirrorVolume } from './mirror-volume.ts'
import { type VolumeSource } from './volume-source.ts'

/** Begins to connect. */
export function openVolume(source: VolumeSource, options: VolumeOptions): Volume {
  if (source.kind === 'mirror') return new MirrorVolume(source, options)
  return new GridConnection({ ...options, ...source })
}
