// What a mount is of, as administrators write it: SERVER:/EXPORT, SERVER:PORT:/EXPORT (an IPv6 address
// stands in brackets), or several servers that hold the same: mirror:a:/x,b:/x,c:/x, shorter a,b,c:/x.
import { SiError } from '../../core/core.ts'

export interface ServerSource {
  readonly kind: 'server'
  readonly host: string
  readonly port: number
  readonly export: string
}

export interface MirrorSource {
  readonly kind: 'mirror'
  /** The order is that in which they are asked who may change something; the same for all mounts. */
  readonly members: readonly ServerSource[]
}

export type VolumeSource = ServerSource | MirrorSource

const SERVER = /^(?:\[([0-9A-Fa-f:]+)\]|([^:[\]/,]+))(?::(\d{1,5}))?(?::(\/[^,]*))?$/
const MIRROR = 'mirror:'

/** Throws ERR_SI_USAGE. */
export function parseVolumeSource(text: string, defaultPort: number): VolumeSource {
  const isMirror = text.startsWith(MIRROR)
  const servers = (isMirror ? text.slice(MIRROR.length) : text).split(',')
  const last = servers.at(-1) ?? ''
  const shared = SERVER.exec(last)?.[4]
  const members = servers.map((server) => parseServer(server, { text, shared, defaultPort }))
  const [first] = members
  if (first !== undefined && members.length === 1 && !isMirror) return first
  if (members.length < 2) {
    throw fault(text, 'a mirror has at least two servers', 'Write mirror:a:/x,b:/x,c:/x')
  }
  if (new Set(members.map(memberName)).size < members.length) {
    throw fault(text, 'it names a server twice', 'Name each server of a mirror once')
  }
  return { kind: 'mirror', members }
}

function parseServer(
  server: string,
  {
    text,
    shared,
    defaultPort,
  }: {
    readonly text: string
    readonly shared: string | undefined
    readonly defaultPort: number
  },
): ServerSource {
  const match = SERVER.exec(server)
  const port = Number(match?.[3] ?? defaultPort)
  const name = match?.[4] ?? shared
  if (match === null || port > 65_535 || name === undefined) {
    throw fault(text, 'it names no export', 'Write SERVER:/EXPORT or SERVER:PORT:/EXPORT')
  }
  return { kind: 'server', host: match[1] ?? match[2] ?? '', port, export: name }
}

function fault(text: string, what: string, hint: string): SiError {
  return new SiError('ERR_SI_USAGE', `Cannot mount ${JSON.stringify(text)}: ${what}`, { hint })
}

/** As it is shown in the table of mounts. */
export function formatVolumeSource(source: VolumeSource): string {
  if (source.kind === 'mirror') return `${MIRROR}${source.members.map(formatVolumeSource).join()}`
  return `${bracketed(source.host)}:${source.export}`
}

/** A server of a mirror in what its members know of each other: all mounts must write it alike. */
export function memberName({ host, port, export: name }: ServerSource): string {
  return `${bracketed(host)}:${port}:${name}`
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
