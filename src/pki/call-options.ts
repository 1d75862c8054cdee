// What node:tls and node:https are told. Invariant: TLS 1.3 alone, and no session is taken up again: who calls a
// second time shows its certificate a second time. Spec: RFC 8446.
import { constants } from 'node:crypto'
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls'

/** A context as node:tls makes it; goes to other threads as it is. */
export interface TlsMaterial {
  /** Ours; left out by who has none. */
  readonly cert?: string
  readonly key?: string
  readonly ca: string[]
  /** An authority that is trusted may have another above it. */
  readonly allowPartialTrustChain: true
  readonly minVersion: 'TLSv1.3'
  readonly secureOptions: number
}

export interface CallOptions extends TlsMaterial {
  readonly rejectUnauthorized: true
  /** In place of the comparison of names: nodes know a server by any of its addresses. */
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined
  /** No session is kept. */
  readonly maxCachedSessions: 0
}

/** All in PEM. */
export function materialOf(own: Pick<TlsMaterial, 'cert' | 'key'>, ca: string[]): TlsMaterial {
  const secureOptions = constants.SSL_OP_NO_TICKET
  return { ...own, ca, allowPartialTrustChain: true, minVersion: 'TLSv1.3', secureOptions }
}

/** `check` throws unless the chain is to be believed. */
export function callOptionsOf(
  material: TlsMaterial,
  check: (chain: readonly Uint8Array[]) => void,
): CallOptions {
  return {
    ...material,
    rejectUnauthorized: true,
    maxCachedSessions: 0,
    checkServerIdentity(_host, certificate) {
      try {
        check(chainOf(certificate))
        return undefined
      } catch (error) {
        return error as Error
      }
    },
  }
}

/** Longer ones are refused anyway. */
const MOST_CERTIFICATES = 9

/** From what `getPeerCertificate(true)` gives, DER; empty when none was shown. */
export function chainOf(certificate: PeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  let next: Partial<DetailedPeerCertificate> | undefined = certificate
  while (next?.raw !== undefined && chain.length < MOST_CERTIFICATES) {
    chain.push(next.raw)
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate
  }
  return chain
}
