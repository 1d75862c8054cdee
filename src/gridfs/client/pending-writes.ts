// Writes that were taken from programs and not yet answered by the server. They are bounded in bytes; the
// first error of a file is kept until somebody asks: flush, fsync, close. Whoever needs what the server
// knows of a file waits until its writes are settled.
interface Pending {
  count: number
  error: unknown
  waiting: (() => void)[]
}

export class PendingWrites {
  readonly #files = new Map<number, Pending>()
  readonly #limitBytes: number
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Settles when there is room for more. */
  async room(): Promise<void> {
    while (this.#bytes >= this.#limitBytes) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  add(nodeId: number, sizeBytes: number, write: Promise<unknown>): void {
    const file = this.#files.get(nodeId) ?? { count: 0, error: undefined, waiting: [] }
    this.#files.set(nodeId, file)
    file.count += 1
    this.#bytes += sizeBytes
    write
      .catch((error: unknown) => (file.error ??= error))
      .finally(() => {
        file.count -= 1
        this.#bytes -= sizeBytes
        wake(this.#waiting)
        if (file.count > 0) return
        wake(file.waiting)
        if (file.error === undefined) this.#files.delete(nodeId)
      })
      .catch(() => {})
  }

  /** Settles when nothing of the file is pending. */
  async settled(nodeId: number): Promise<void> {
    const file = this.#files.get(nodeId)
    if (file === undefined || file.count === 0) return
    await new Promise<void>((resolve) => file.waiting.push(resolve))
  }

  /** As `settled`; throws the error of a write, to the first who asks. */
  async flushed(nodeId: number): Promise<void> {
    await this.settled(nodeId)
    const file = this.#files.get(nodeId)
    if (file?.error === undefined) return
    const { error } = file
    this.#files.delete(nodeId)
    throw error
  }
}

function wake(waiting: (() => void)[]): void {
  for (const resolve of waiting.splice(0)) resolve()
}
