// Who may be a peer of a swarm with TLS. Lives on the network thread, wherever sockets are. Invariant: whoever is let in has
// shown a certificate that is believed now, and is cut off in the round after that ended: revoked, expired, or its
// authority gone.
import { type SecureContext } from 'node:tls'
import { messageOf, SiError } from '../../core/core.ts'
import type { Credentials, Demand, TlsMaterial } from '../../pki/pki.ts'
import { createPeerContext } from './tls-socket.ts'

/** What a swarm is told about TLS. */
export interface PeerSecurity {
  readonly credentials: Pick<Credentials, 'material' | 'check' | 'callOptions' | 'onRound'>
  /** For a time of change: who calls us may also do so without TLS, and trackers may be plain. */
  readonly allowsPlain: boolean
}

/** A connection, as far as it concerns the guard. */
export interface Guarded {
  readonly address: string
  readonly isOutgoing: boolean
  close(error: Error): void
}

const ROLES: Demand['roles'] = ['node', 'image-server']

export class PeerGuard {
  readonly #security: PeerSecurity
  readonly #onNote: (text: string) => void
  readonly #admitted = new Map<Guarded, readonly Uint8Array[]>()
  readonly #renewals = new Set<(material: TlsMaterial) => void>()
  readonly #stopRounds: () => void
  #material: TlsMaterial
  #context: SecureContext | undefined

  constructor(security: PeerSecurity, onNote: (text: string) => void) {
    this.#security = security
    this.#onNote = onNote
    this.#material = security.credentials.material
    this.#stopRounds = security.credentials.onRound(() => this.#review())
  }

  get allowsPlain(): boolean {
    return this.#security.allowsPlain
  }

  get material(): TlsMaterial {
    return this.#material
  }

  /** For sockets of this thread. */
  get context(): SecureContext {
    return (this.#context ??= createPeerContext(this.#material))
  }

  /** Lets a connection in. Throws ERR_SI_UNTRUSTED. */
  admit(connection: Guarded, certificates: readonly Uint8Array[]): void {
    this.#check(connection, certificates)
    this.#admitted.set(connection, certificates)
  }

  /** The connection has ended. */
  leave(connection: Guarded): void {
    this.#admitted.delete(connection)
  }

  /** For those that make contexts on other threads. */
  onRenewal(listener: (material: TlsMaterial) => void): void {
    this.#renewals.add(listener)
  }

  close(): void {
    this.#stopRounds()
    this.#renewals.clear()
  }

  #check({ isOutgoing }: Guarded, certificates: readonly Uint8Array[]): void {
    const side = isOutgoing ? 'server' : 'client'
    this.#security.credentials.check(certificates, { roles: ROLES, side })
  }

  #review(): void {
    this.#renew()
    for (const [connection, certificates] of [...this.#admitted]) {
      try {
        this.#check(connection, certificates)
      } catch (error) {
        this.#admitted.delete(connection)
        const what = `Cut off peer ${connection.address}: ${messageOf(error)}`
        this.#onNote(what)
        connection.close(new SiError('ERR_SI_UNTRUSTED', what, { cause: error }))
      }
    }
  }

  #renew(): void {
    const { material } = this.#security.credentials
    if (material === this.#material) return
    this.#material = material
    this.#context = undefined
    for (const listener of this.#renewals) listener(material)
  }
}
