// TLS over a connected socket, for both of its sides. Invariant: TLS 1.3 with our protocol's name, no session is
// taken up again, and nothing is handed on before the other side has proved to have the key of the certificate that
// it shows; whether that one may come in is for others to say. Spec: RFC 8446, 7301 (ALPN).
import { type Socket } from 'node:net'
import {
  connect,
  createSecureContext,
  TLSSocket,
  type ConnectionOptions,
  type SecureContext,
} from 'node:tls'
import { SiError } from '../../core/core.ts'
import type { TlsMaterial } from '../../pki/pki.ts'
import { type SocketReader } from './tcp-setup.ts'

/** Told in the handshake, so that no other service of this authority can be mistaken for a peer. */
export const PEER_ALPN = 'swarmimager/1'

/** Longer chains are refused. */
const MOST_CERTIFICATES = 9

export interface TlsSetup {
  readonly context: SecureContext
  readonly isServer: boolean
  readonly reader: SocketReader
  /** The handshake is over. DER, that of the other side first. Nothing comes before that. */
  readonly onSecure: (certificates: readonly Uint8Array[]) => void
  /** The handshake failed, or what came later was not TLS; the socket is to be closed. */
  readonly onFailure: (error: Error) => void
}

/** To be made once for many connections. */
export function createPeerContext(material: TlsMaterial): SecureContext {
  return createSecureContext(material)
}

/** What the socket holds unread (unshift) is taken first. */
export function startTls(raw: Socket, setup: TlsSetup): TLSSocket {
  const { context: secureContext, isServer, onSecure, onFailure } = setup
  const ALPNProtocols = [PEER_ALPN]
  const asked: ConnectionOptions & { readonly isServer: boolean } = {
    ...{ secureContext, isServer, ALPNProtocols, requestCert: true },
    rejectUnauthorized: isServer, // a server asks for a certificate, whoever issued it
  }
  const socket = isServer
    ? new TLSSocket(raw, asked)
    : connect({ ...asked, socket: raw, rejectUnauthorized: false })
  readInto(socket, setup.reader)
  socket.once('secure', () => {
    const fault = faultOf(socket)
    if (fault === undefined) onSecure(chainOf(socket))
    else onFailure(new SiError('ERR_SI_UNTRUSTED', fault))
  })
  // Of a TLSSocket that was not made by a tls.Server this event, not 'error', has the faults of the handshake.
  socket.on(isServer ? '_tlsError' : 'error', (error: Error) => onFailure(explain(error)))
  return socket
}

function faultOf(socket: TLSSocket): string | undefined {
  if (socket.alpnProtocol !== PEER_ALPN) return `it does not speak ${PEER_ALPN} over TLS`
  return socket.isSessionReused() ? 'it takes up an old session' : undefined
}

function chainOf(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && chain.length < MOST_CERTIFICATES) {
    chain.push(next.raw)
    next = next.issuerCertificate
  }
  return chain
}

/**
 * No option gives a TLSSocket over a connected socket a receive buffer, as sockets of their own have. Where this Node
 * keeps the buffer in the way that is known, it gets one; else every read makes fresh memory, which takes more than
 * twice the CPU time.
 */
function readInto(socket: TLSSocket, { onread, onChunk }: SocketReader): void {
  const inside = socket as unknown as Record<symbol, unknown> & {
    readonly _handle?: { useUserBuffer?: (buffer: Uint8Array) => void } | null
  }
  const named = (name: string) =>
    Object.getOwnPropertySymbols(socket).find(({ description }) => description === name)
  const [buffer, callback] = [named('kBuffer'), named('kBufferCb')]
  const handle = inside._handle
  if (buffer === undefined || callback === undefined || handle?.useUserBuffer === undefined) {
    socket.on('data', onChunk)
    return
  }
  inside[buffer] = onread.buffer
  inside[callback] = onread.callback
  handle.useUserBuffer(onread.buffer)
  socket.resume()
}

const HUNG_UP = 'it hung up in the TLS handshake: it refuses us, or does not use --tls'

/** The other side ended the connection before it was let in. */
export function hungUp(): SiError {
  return new SiError('ERR_SI_UNTRUSTED', HUNG_UP)
}

/** OpenSSL's words, and those of Node, as an administrator needs them. */
function explain(error: Error): SiError {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const reason = REASONS.find(([pattern]) => pattern.test(`${code} ${error.message}`))?.[1]
  const what =
    reason ?? `the TLS handshake failed (${error.message.replace(/^.*SSL routines:/, '')})`
  return new SiError('ERR_SI_UNTRUSTED', what.trim(), { cause: error })
}

const REASONS: readonly (readonly [RegExp, string])[] = [
  [/DID_NOT_RETURN_A_CERTIFICATE/, 'it shows no certificate'],
  [/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/, 'it does not speak TLS 1.3'],
  [/NO_APPLICATION_PROTOCOL/, `it does not speak ${PEER_ALPN} over TLS`],
  [/WRONG_VERSION_NUMBER|HTTP_REQUEST/, 'it does not speak TLS: is it started with --tls?'],
  [/ECONNRESET|ECONNABORTED|EPIPE/, HUNG_UP],
  [/TLSV1.*ALERT|SSLV3_ALERT/, 'it refused us in the TLS handshake'],
]
