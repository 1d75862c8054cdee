// Writes that were taken from programs and not yet answered by the server. They are bounded in bytes; the
// first error of a file is kept for each who has it open until they ask: flush, fsync, close. Whoever needs what the server
// knows of a file waits until its writes are settled.
import { errnoName, errnoNumber, FuseError } from '../fuse/errno.ts'
import { type Caller } from '../fuse/file-system.ts'
import { type MountState } from './mount-state.ts'

type Errors = Pick<MountState, 'failed' | 'fail' | 'told'>

interface Pending {
  count: number
  waiting: (() => void)[]
}

export class PendingWrites {
  readonly #files = new Map<number, Pending>()
  readonly #limitBytes: number
  readonly #errors: Errors
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(limitBytes: number, errors: Errors) {
    this.#limitBytes = limitBytes
    this.#errors = errors
  }

  /** Settles when there is room for more. */
  async room(): Promise<void> {
    while (this.#bytes >= this.#limitBytes) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  add(nodeId: number, sizeBytes: number, write: Promise<unknown>): void {
    const file = this.#files.get(nodeId) ?? { count: 0, waiting: [] }
    this.#files.set(nodeId, file)
    file.count += 1
    this.#bytes += sizeBytes
    write
      .catch((error: unknown) => {
        this.#errors.fail(nodeId, errnoNumber(error))
      })
      .finally(() => {
        file.count -= 1
        this.#bytes -= sizeBytes
        wake(this.#waiting)
        if (file.count > 0) return
        this.#files.delete(nodeId)
        wake(file.waiting)
      })
      .catch(() => {})
  }

  /** Settles when nothing of the file is pending. */
  async settled(nodeId: number): Promise<void> {
    const file = this.#files.get(nodeId)
    if (file !== undefined) await new Promise<void>((resolve) => file.waiting.push(resolve))
  }

  /** As `settled`; throws the error of a write, once to each open file. */
  async flushed(nodeId: number, handle: number, caller: Caller): Promise<void> {
    await this.settled(nodeId)
    const errno = this.#errors.failed.get(handle)
    if (errno === undefined) return
    caller.onAnswered(() => this.#errors.told(handle))
    throw new FuseError(errnoName(errno))
  }
}

function wake(waiting: (() => void)[]): void {
  for (const resolve of waiting.splice(0)) resolve()
}
