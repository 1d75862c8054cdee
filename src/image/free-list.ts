// Things that are lent out and come back, such as buffers: the only source of back-pressure in the
// pack pipeline. Invariant: after fail() every take() rejects with that error, so nobody waits for ever.

export class FreeList<T> {
  readonly #free: T[]
  readonly #waiting: PromiseWithResolvers<T>[] = []
  #failure: { readonly error: unknown } | undefined

  constructor(items: Iterable<T>) {
    this.#free = [...items]
  }

  /** Waits, first come first served, until something is free. */
  async take(): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure.error
    const item = this.#free.pop()
    if (item !== undefined) return item
    const waiting = Promise.withResolvers<T>()
    this.#waiting.push(waiting)
    return waiting.promise
  }

  give(item: T): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#free.push(item)
    else waiting.resolve(item)
  }

  fail(error: unknown): void {
    this.#failure ??= { error }
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
  }
}
