// HTTPS on the port of the image server. Who calls is known by the certificate it shows. For everybody are what has no secret
// and is needed before there is a certificate, such as boot files. Invariant: nothing else is answered to anybody whom the credentials do not let in now, whenever the connection was
// made; who calls without TLS is told so.
import { createServer } from 'node:https'
import type { RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { messageOf, SiError, systemClock } from '../core/core.ts'
import { chainOf, PEER_ROLES, type Identity } from '../pki/pki.ts'
import { Refusals, type PeerSecurity } from '../swarm/swarm.ts'
import { asksForCertificate } from './node-certificates.ts'

/** For the first byte, and for the handshake after it. */
const HANDSHAKE_TIMEOUT_MS = 10_000

/** Connections at a time; more wait in the kernel's queue for nothing, so they are closed. */
const MOST_CONNECTIONS = 4096

const TLS_HANDSHAKE = 0x16

/** Routes; by TLS or in the clear. For those who compare its fingerprint, and for firmware, which knows no certificates. */
const FOR_EVERYBODY = new Set<string | undefined>([
  ...['/ca.pem', '/crl.pem'],
  ...['/boot/ipxe', '/boot/:image/:file'],
])

/** One port for HTTPS, and for the answer that it is not HTTP; the certificate is renewed as its file is. */
export function createSecureServer({ credentials }: PeerSecurity, handle: RequestListener): Server {
  let material = credentials.material
  const server = createServer(
    {
      ...material,
      ...{ requestCert: true, rejectUnauthorized: false }, // the answer says why not
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    },
    handle,
  )
  server.maxConnections = MOST_CONNECTIONS
  const [startTls] = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    whenGreeted(socket, (firstByte) => {
      if (firstByte === TLS_HANDSHAKE) startTls?.call(server, socket)
      else server.emit('secureConnection', socket) // as HTTP: the hook below answers
    })
  })
  const stop = credentials.onRound(() => {
    if (credentials.material === material) return
    material = credentials.material
    server.setSecureContext(material)
  })
  server.on('close', stop)
  return server
}

/** Refuses every request of whom the credentials do not let in. */
export function guardRequests(
  app: FastifyInstance,
  security: PeerSecurity,
  onNote: (text: string) => void,
): void {
  const refusals = new Refusals('caller', { clock: systemClock, onNote })
  app.addHook('onRequest', async (request, reply) => {
    if (FOR_EVERYBODY.has(request.routeOptions.url)) return undefined
    if (asksForCertificate(request) && request.socket instanceof TLSSocket) return undefined
    try {
      judge(request, security)
      return undefined
    } catch (error) {
      refusals.add(`${request.ip}:${request.socket.remotePort ?? 0}`, error as Error)
      return refuse(request, reply, messageOf(error))
    }
  })
}

/** Throws ERR_SI_UNTRUSTED. */
function judge({ socket }: FastifyRequest, { credentials, allowsPlain }: PeerSecurity): void {
  if (!(socket instanceof TLSSocket)) {
    if (allowsPlain) return
    throw new SiError('ERR_SI_UNTRUSTED', 'this server speaks HTTPS only: write https://')
  }
  identify(socket, credentials)
}

/** Whom the certificate of a caller speaks for; undefined: it came without. Throws ERR_SI_UNTRUSTED. */
export function callerOf(
  { socket }: FastifyRequest,
  { credentials }: PeerSecurity,
): Identity | undefined {
  return socket instanceof TLSSocket ? identify(socket, credentials) : undefined
}

function identify(socket: TLSSocket, credentials: PeerSecurity['credentials']): Identity {
  const chain = socket.isSessionReused() ? [] : chainOf(socket.getPeerCertificate(true))
  return credentials.check(chain, { roles: PEER_ROLES, side: 'client' })
}

function refuse(request: FastifyRequest, reply: FastifyReply, reason: string): FastifyReply {
  const isTls = request.socket instanceof TLSSocket
  const message = isTls ? `Not for you: ${reason}` : reason
  return reply.code(isTls ? 403 : 400).send({ code: 'ERR_SI_UNTRUSTED', message })
}

/** Looks at the first byte and leaves it where it is. */
function whenGreeted(socket: Socket, onByte: (byte: number) => void): void {
  const giveUp = () => void socket.destroy()
  socket.setTimeout(HANDSHAKE_TIMEOUT_MS, giveUp)
  socket.on('error', giveUp)
  socket.once('readable', () => {
    socket.setTimeout(0, giveUp)
    socket.off('timeout', giveUp)
    const bytes = socket.read() as Buffer | null
    const first = bytes?.[0]
    if (bytes === null || first === undefined) return giveUp()
    socket.unshift(bytes)
    onByte(first)
  })
}
