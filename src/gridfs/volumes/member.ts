// One server of a mirror: a connection that tells when it is up, how far away it is, and when the server has
// fallen silent. Invariant: a call by `ask` settles as soon as the server is down.
import { FuseError } from '../fuse/errno.ts'
import { GridConnection } from '../client/connection.ts'
import { type Answer, type CallOptions, type VolumeOptions } from '../client/volume.ts'
import { type WireName, type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { type ServerSource } from './volume-source.ts'

export interface MemberOptions extends Omit<VolumeOptions, 'kept'> {
  readonly index: number
  readonly source: ServerSource
  /** As all mounts of the mirror name it. */
  readonly name: string
  readonly onUp: (hello: WireReplyOf<'hello'>) => void
  readonly onDown: () => void
}

const LOOK_MS = 1000
/** A server with something to answer that says nothing for so long is asked for a sign of life. */
const QUIET_MS = 3000
const SILENT_MS = 8000
const PINGS = 3

export class Member {
  readonly index: number
  readonly name: string
  readonly connection: GridConnection
  isUp = false
  hello: WireReplyOf<'hello'> | undefined
  /** Of the fastest answer to a call that does nothing. */
  latencyMs = Infinity
  /** Since when it is not up. */
  downMs = performance.now()
  readonly #onDown = new Set<() => void>()
  readonly #watch: NodeJS.Timeout
  #pending = 0
  #heardMs = 0
  #isPinged = false

  constructor(options: MemberOptions) {
    this.index = options.index
    this.name = options.name
    this.connection = new GridConnection({
      ...options,
      ...options.source,
      kept: undefined,
      onUp: (hello) => {
        this.hello = hello
        this.isUp = true
        this.#heardMs = performance.now()
        options.onUp(hello)
        void this.#measure()
      },
      onDown: () => {
        this.isUp = false
        this.downMs = performance.now()
        for (const fail of [...this.#onDown]) fail()
        options.onDown()
      },
    })
    this.#watch = setInterval(() => this.#look(), LOOK_MS)
  }

  get verifier(): Buffer {
    return Buffer.from(this.hello?.verifier ?? [])
  }

  /** Outlives broken connections, until `connection.setPatience(false)`. */
  async call<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    options?: CallOptions,
  ): Promise<Answer<Name>> {
    if (this.#pending === 0) this.#heardMs = performance.now()
    this.#pending += 1
    try {
      return await this.connection.call(name, request, options)
    } finally {
      this.#pending -= 1
      this.#heardMs = performance.now()
    }
  }

  /** Fails with ENOTCONN as soon as the server is down. */
  async ask<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    options?: CallOptions,
  ): Promise<Answer<Name>> {
    if (!this.isUp) throw new FuseError('ENOTCONN')
    const { promise, reject } = Promise.withResolvers<never>()
    const fail = () => reject(new FuseError('ENOTCONN'))
    this.#onDown.add(fail)
    try {
      return await Promise.race([this.call(name, request, options), promise])
    } finally {
      this.#onDown.delete(fail)
    }
  }

  close(): void {
    clearInterval(this.#watch)
    this.connection.close()
  }

  async #measure(): Promise<void> {
    this.latencyMs = Infinity
    for (let ping = 0; ping < PINGS; ping += 1) {
      const beganMs = performance.now()
      await this.ask('standing', {}).catch(() => {})
      this.latencyMs = Math.min(this.latencyMs, performance.now() - beganMs)
    }
  }

  /** A cut cable says nothing: only silence tells. */
  #look(): void {
    const quietMs = performance.now() - this.#heardMs
    if (!this.isUp || this.#pending === 0 || quietMs < QUIET_MS) {
      this.#isPinged = false
    } else if (!this.#isPinged) {
      this.#isPinged = true
      this.ask('standing', {}).catch(() => {})
    } else if (quietMs > SILENT_MS) this.connection.reconnect()
  }
}

/** The server is not there (any more), or does not take changes from us: what it was asked for may be done. */
export function isLost(error: unknown): boolean {
  return error instanceof FuseError && (error.code === 'ENOTCONN' || error.code === 'ENOLCK')
}
