// In which order requests reach the content of a file: in that of their arrival, where they touch the same
// bytes. Without this a thread of libuv's pool could carry out a later write first, and what was written
// before would come back. Requests for other bytes, and reads with each other, go at the same time.

/** Bytes of a file. */
export interface Reach {
  /** Its reference in latin1. */
  readonly file: string
  readonly start: number
  /** Exclusive; Infinity: to the end, wherever that is. */
  readonly end: number
}

export interface Touched {
  readonly reads?: Reach
  readonly changes?: Reach
}

interface Change extends Reach {
  readonly isDone: Promise<void>
}

/** Bounded by the requests in flight, each of which changes one file at most. */
export class Turns {
  readonly #changes = new Map<string, Set<Change>>()

  /** Files that are being changed. */
  get size(): number {
    return this.#changes.size
  }

  /** Does the work when its turn has come: before this returns, when nothing is in the way. */
  async take<T>({ reads, changes }: Touched, work: () => Promise<T>): Promise<T> {
    const before = [...this.#before(reads), ...this.#before(changes)]
    const end = changes === undefined ? undefined : this.#begin(changes)
    try {
      if (before.length > 0) await Promise.all(before)
      return await work()
    } finally {
      end?.()
    }
  }

  *#before(reach: Reach | undefined): Generator<Promise<void>> {
    if (reach === undefined) return
    for (const change of this.#changes.get(reach.file) ?? []) {
      if (change.start < reach.end && reach.start < change.end) yield change.isDone
    }
  }

  #begin(reach: Reach): () => void {
    const changes = this.#changes.get(reach.file) ?? new Set()
    this.#changes.set(reach.file, changes)
    const { promise, resolve } = Promise.withResolvers<void>()
    const change: Change = { ...reach, isDone: promise }
    changes.add(change)
    return () => {
      changes.delete(change)
      if (changes.size === 0) this.#changes.delete(reach.file)
      resolve()
    }
  }
}
