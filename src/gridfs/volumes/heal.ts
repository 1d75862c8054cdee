// Heals a mirror from a command: without a mount, as one more client of its servers.
import { messageOf, SiError } from '../../core/core.ts'
import { unlessAborted } from '../until-aborted.ts'
import { type VolumeOptions } from '../client/volume.ts'
import { type HealOptions, type HealReport } from './mirror-heal.ts'
import { MirrorVolume } from './mirror-volume.ts'
import { formatVolumeSource, type VolumeSource } from './volume-source.ts'

export interface HealVolumeOptions
  extends Pick<VolumeOptions, 'credentials' | 'onNote'>, Omit<HealOptions, 'onNote'> {
  readonly source: VolumeSource
  readonly signal: AbortSignal
}

const FIRST_ANSWER_MS = 15_000

/** Throws ERR_SI_USAGE for what is no mirror. Interrupted, what was copied is; healing again goes on. */
export async function healVolume(options: HealVolumeOptions): Promise<HealReport> {
  const { source, credentials, onNote, signal } = options
  if (source.kind !== 'mirror') {
    throw new SiError('ERR_SI_USAGE', `${formatVolumeSource(source)} is one server`, {
      hint: 'Write the mirror as it is mounted: mirror:a:/x,b:/x,c:/x',
    })
  }
  const volume = new MirrorVolume(source, {
    ...{ credentials, onNote, softMs: FIRST_ANSWER_MS },
    ...{ kept: undefined, onPush: () => {}, openFiles: () => [], onLost: () => {} },
  })
  try {
    await unlessAborted(
      volume.ready,
      AbortSignal.any([signal, AbortSignal.timeout(FIRST_ANSWER_MS)]),
    )
    return await unlessAborted(volume.heal(options), signal)
  } catch (error) {
    if (signal.aborted || error instanceof SiError) throw error
    const what = `Cannot heal ${formatVolumeSource(source)}: ${messageOf(error)}`
    throw new SiError('ERR_SI_SYSTEM_CALL', what, {
      hint: 'Most of its servers must be there; then heal again, which goes on',
      cause: error,
    })
  } finally {
    volume.close()
  }
}
