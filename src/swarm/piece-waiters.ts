// Promises for pieces: who waits for which to be written. Invariant: every promise settles, at the latest
// when the torrent fails or closes.
import { abortedError, throwIfAborted, type SiError } from '../core/core.ts'

interface Waiter {
  readonly missing: Set<number>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class PieceWaiters {
  readonly #waiters = new Set<Waiter>()
  #failure: unknown

  /** Resolves when `isDone` holds, or has been told, for every piece. */
  async wait(
    pieces: Iterable<number>,
    isDone: (pieceIndex: number) => boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    throwIfAborted(signal)
    if (this.#failure !== undefined) throw this.#failure as SiError
    const missing = new Set([...pieces].filter((index) => !isDone(index)))
    if (missing.size === 0) return
    let onAbort: (() => void) | undefined
    let waiter: Waiter | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { missing, resolve, reject }
        this.#waiters.add(waiter)
        if (signal === undefined) return
        onAbort = () => reject(abortedError(signal))
        signal.addEventListener('abort', onAbort, { once: true })
      })
    } finally {
      if (waiter !== undefined) this.#waiters.delete(waiter)
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
    }
  }

  done(pieceIndex: number): void {
    for (const waiter of this.#waiters) {
      if (waiter.missing.delete(pieceIndex) && waiter.missing.size === 0) waiter.resolve()
    }
  }

  /** Rejects everybody, now and later. The first failure counts. */
  fail(error: unknown): void {
    this.#failure ??= error
    for (const waiter of this.#waiters) waiter.reject(this.#failure)
  }
}
