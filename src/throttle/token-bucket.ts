// A bucket of bytes that fills at a constant rate: whoever moves bytes takes as many out first.
// Invariants: over any span of time no more than burst + rate x span passes, but for one request larger
// than the burst, which is paid for afterwards; waiters are served in the order they came; a change of
// the rate takes effect at once. Source: token bucket of RFC 2697 (one rate, one burst).
import { SiError, throwIfAborted, type Clock } from '../core/core.ts'

export interface TokenBucketOptions {
  readonly bytesPerSecond: number
  readonly clock: Clock
}

export interface TokenBucket {
  readonly bytesPerSecond: number
  /** What may pass at once after a pause: what flows in 20 ms, but at least 256 KiB. */
  readonly burstBytes: number
  /** Bytes that could be taken now without waiting; 0 while others wait. */
  availableBytes(): number
  /** Takes bytes that availableBytes() showed. */
  takeNow(bytes: number): void
  /** Waits until `bytes` may pass. Rejects with ERR_SI_ABORTED by the signal; nothing is taken then. */
  take(bytes: number, signal?: AbortSignal): Promise<void>
  /** Calls back once when `bytes` (at most the burst) could be taken at once; the result cancels. */
  whenAvailable(bytes: number, callback: () => void): () => void
  /** More than 0; Infinity passes everything. */
  setRate(bytesPerSecond: number): void
}

const MIN_BURST_BYTES = 256 * 1024
const BURST_SECONDS = 0.02

/** Bytes as fractions add up with an error; what is short by less than this is there. */
const ROUNDING_BYTES = 1e-6

interface Waiter {
  readonly bytes: number
  readonly serve: () => void
  /** Whether serving takes the bytes out, or only tells that they are there. */
  readonly isTaking: boolean
}

/** Starts full. Throws ERR_SI_USAGE when the rate is not more than 0. */
export function createTokenBucket(options: TokenBucketOptions): TokenBucket {
  return new Bucket(options)
}

class Bucket implements TokenBucket {
  readonly #clock: Clock
  readonly #waiters: Waiter[] = []
  #bytesPerSecond: number
  #tokens: number
  #filledMs: number
  #cancelTimer: () => void = () => {}

  constructor(options: TokenBucketOptions) {
    this.#clock = options.clock
    this.#bytesPerSecond = checkedRate(options.bytesPerSecond)
    this.#filledMs = options.clock.monotonicMs()
    this.#tokens = this.burstBytes
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  get burstBytes(): number {
    return Math.max(MIN_BURST_BYTES, this.#bytesPerSecond * BURST_SECONDS)
  }

  availableBytes(): number {
    this.#refill()
    return this.#waiters.some((waiter) => waiter.isTaking) ? 0 : Math.max(0, this.#tokens)
  }

  takeNow(bytes: number): void {
    this.#refill()
    this.#tokens -= bytes
  }

  take(bytes: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal)
      const onAbort = () => {
        cancel()
        reject(new SiError('ERR_SI_ABORTED', 'Waiting for the rate limit was interrupted'))
      }
      const serve = () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      const cancel = this.#wait({ bytes, serve, isTaking: true })
    })
  }

  whenAvailable(bytes: number, callback: () => void): () => void {
    return this.#wait({ bytes, serve: callback, isTaking: false })
  }

  setRate(bytesPerSecond: number): void {
    this.#refill()
    this.#bytesPerSecond = checkedRate(bytesPerSecond)
    this.#tokens = Math.min(this.#tokens, this.burstBytes)
    this.#serve()
  }

  #wait(waiter: Waiter): () => void {
    this.#waiters.push(waiter)
    this.#serve()
    return () => {
      const at = this.#waiters.indexOf(waiter)
      if (at < 0) return
      this.#waiters.splice(at, 1)
      this.#serve()
    }
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs()
    const gained = ((nowMs - this.#filledMs) * this.#bytesPerSecond) / 1000
    // Infinity x 0 is no number: an unlimited bucket is always full.
    const isUnlimited = this.#bytesPerSecond === Infinity
    this.#tokens = isUnlimited ? Infinity : Math.min(this.burstBytes, this.#tokens + gained)
    this.#filledMs = nowMs
  }

  /** Serves from the front as many as the tokens allow, then sleeps until the next one's are there. */
  #serve(): void {
    this.#refill()
    for (let next = this.#waiters[0]; next !== undefined; next = this.#waiters[0]) {
      const missing = Math.min(next.bytes, this.burstBytes) - this.#tokens
      if (missing > ROUNDING_BYTES) {
        const delayMs = (missing * 1000) / this.#bytesPerSecond
        this.#cancelTimer()
        this.#cancelTimer = this.#clock.schedule(delayMs, () => this.#serve())
        return
      }
      this.#waiters.shift()
      if (next.isTaking) this.#tokens -= next.bytes
      next.serve()
    }
  }
}

function checkedRate(bytesPerSecond: number): number {
  if (bytesPerSecond > 0) return bytesPerSecond
  throw new SiError('ERR_SI_USAGE', `Cannot limit to ${bytesPerSecond} bytes per second`, {
    hint: 'Give a rate above 0, such as 20MiB/s, or the word unlimited',
  })
}
