// What a mount is of, as administrators write it: SERVER:/EXPORT, SERVER:PORT:/EXPORT; an IPv6 address
// stands in brackets.
import { SiError } from '../../core/core.ts'

export interface ServerSource {
  readonly host: string
  readonly port: number
  readonly export: string
}

export type VolumeSource = ServerSource

const SERVER = /^(?:\[([0-9A-Fa-f:]+)\]|([^:[\]/]+))(?::(\d{1,5}))?:(\/.*)$/

/** Throws ERR_SI_USAGE. */
export function parseVolumeSource(text: string, defaultPort: number): VolumeSource {
  const match = SERVER.exec(text)
  const port = Number(match?.[3] ?? defaultPort)
  if (match === null || port > 65_535) {
    throw new SiError('ERR_SI_USAGE', `Cannot mount ${JSON.stringify(text)}: it names no export`, {
      hint: 'Write SERVER:/EXPORT or SERVER:PORT:/EXPORT',
    })
  }
  return { host: match[1] ?? match[2] ?? '', port, export: match[4] ?? '/' }
}

/** As it is shown in the table of mounts. */
export function formatVolumeSource(source: VolumeSource): string {
  const { host, export: name } = source
  return `${host.includes(':') ? `[${host}]` : host}:${name}`
}
