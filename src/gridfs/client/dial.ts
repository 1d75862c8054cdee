// Connecting to a server. The role of its certificate counts, not the name by which it was called.
import { connect, type TLSSocket } from 'node:tls'
import { chainOf, type Credentials } from '../../pki/pki.ts'
import { PROTOCOL_NAME } from '../wire/operations.ts'

const SERVER = { roles: ['gridfs-server', 'image-server'], side: 'server' } as const
const CONNECT_MS = 10_000

/** Ends with an error when nobody answers in time, or who answers is not to be believed. */
export function dial(place: {
  readonly host: string
  readonly port: number
  readonly credentials: Credentials
}): TLSSocket {
  const { host, port, credentials } = place
  const socket = connect({
    ...{ host, port, ...credentials.material, ALPNProtocols: [PROTOCOL_NAME] },
    ...{ rejectUnauthorized: true, timeout: CONNECT_MS },
    checkServerIdentity(_host, certificate) {
      try {
        credentials.check(chainOf(certificate), SERVER)
        return undefined
      } catch (error) {
        return error as Error
      }
    },
  })
  socket.on('timeout', () => socket.destroy(new Error(`no answer within ${CONNECT_MS / 1000} s`)))
  return socket
}
