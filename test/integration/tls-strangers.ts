// Members of a swarm with TLS, and strangers who call one.
import { type Socket } from 'node:net'
import { connect, type ConnectionOptions } from 'node:tls'
import { PEER_ALPN } from '../../src/swarm/connection/tls-socket.ts'
import { createPeerId, encodeHandshake } from '../../src/swarm/wire/handshake.ts'
import { type IssuedFiles, type TlsSite } from '../lab/tls-site.ts'
import { within, type Lab, type Member } from './swarm-lab.ts'

export const SIZE = { sizeBytes: 4_000_001, pieceLengthBytes: 2 ** 18 }

export async function securityOf(site: TlsSite, name: string, allowsPlain = false) {
  const role = name === 'server' ? 'image-server' : 'node'
  return { credentials: await site.credentials(role, name), allowsPlain }
}

export async function secureSeeder(lab: Lab, site: TlsSite, { lanes = 1 } = {}) {
  const isFirstLaneTaken = lanes > 1 // by nobody who says anything: who comes next lives on another
  return lab.seed({ security: await securityOf(site, 'server'), lanes, isFirstLaneTaken })
}

const GREETING = { supportsFast: true, supportsExtensions: false, infoHash: '', peerId: '' }

export function greetingFor(lab: Lab): Buffer {
  const { infoHash } = lab.metainfo
  return encodeHandshake({ ...GREETING, infoHash, peerId: createPeerId(Math.random) })
}

/** What a stranger shows of itself. */
export function shows({ certPem, keyPem }: IssuedFiles): ConnectionOptions {
  return { cert: certPem, key: keyPem, ca: certPem }
}

/** A stranger calls and greets; resolves with what it was told, when it was hung up on. */
export async function call(lab: Lab, member: Member, options: ConnectionOptions): Promise<Buffer> {
  const socket = connect({
    ...{ host: '127.0.0.1', port: member.swarm.port, rejectUnauthorized: false },
    ...{ ALPNProtocols: [PEER_ALPN], ...options },
  })
  socket.on('secureConnect', () => socket.write(greetingFor(lab)))
  return whatCame(socket)
}

export async function whatCame(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part)).on('error', () => {})
  const closed = new Promise((resolve) => socket.on('close', resolve))
  await within(closed, 'being hung up on')
  return Buffer.concat(parts)
}

export function hasNote({ notes }: Member, reason: RegExp): boolean {
  const line = new RegExp(`^Refused peer 127[.]0[.]0[.]1:\\d+: .*${reason.source}`)
  return notes.some((note) => line.test(note))
}
