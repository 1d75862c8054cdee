// Something of an export that one client has at a time: until it lets go, its session ends, or nothing was
// heard of it for a while and somebody waits. Who waits is served in order; who asks again waits once.
import { FuseError } from '../fuse/errno.ts'
import { unlessAborted } from '../until-aborted.ts'

interface Waiter {
  readonly granted: PromiseWithResolvers<void>
  requests: number
}

/** Clients that have something in flight say something every 3 s. */
const LEASE_MS = 10_000
const LOOK_MS = 1000

export class Hold {
  #holder: string | undefined
  #heardMs = 0
  /** By client, in the order in which they came. */
  readonly #waiting = new Map<string, Waiter>()

  get isWanted(): boolean {
    return this.#waiting.size > 0
  }

  /** The client is there. */
  heard(client: string): void {
    if (this.#holder === client) this.#heardMs = performance.now()
  }

  isHeldBy(client: string): boolean {
    return this.#holder === client
  }

  /** Settles at once when it is free, or `client` has it. Throws EAGAIN instead of waiting when told so. */
  async take(
    client: string,
    { waits, signal }: { readonly waits: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    if (this.#holder === undefined || this.#holder === client) {
      this.#grant(client)
      return
    }
    if (!waits) throw new FuseError('EAGAIN')
    const waiter = this.#waiting.get(client) ?? {
      ...{ granted: Promise.withResolvers<void>(), requests: 0 },
    }
    this.#waiting.set(client, waiter)
    waiter.requests += 1
    const look = setInterval(() => this.#expire(), LOOK_MS)
    try {
      await unlessAborted(waiter.granted.promise, signal)
    } catch (error) {
      waiter.requests -= 1
      if (waiter.requests === 0) this.#waiting.delete(client)
      throw error
    } finally {
      clearInterval(look)
    }
  }

  /** Does nothing for a client that does not have it. */
  release(client: string): void {
    if (this.#holder !== client) return
    this.#holder = undefined
    for (const [next, { granted }] of this.#waiting) {
      this.#waiting.delete(next)
      this.#grant(next)
      granted.resolve()
      return
    }
  }

  /** The client is no more. */
  leave(client: string): void {
    this.#waiting.delete(client)
    this.release(client)
  }

  #grant(client: string): void {
    this.#holder = client
    this.#heardMs = performance.now()
  }

  #expire(): void {
    const isSilent = performance.now() - this.#heardMs > LEASE_MS
    if (isSilent && this.#holder !== undefined) this.release(this.#holder)
  }
}
