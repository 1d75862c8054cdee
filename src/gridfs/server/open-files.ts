// The files that a client has open here, by the numbers that it gave them. Invariant: a descriptor is closed
// once, and not while a thread uses it.
import { closeSync } from 'node:fs'
import { FuseError } from '../fuse/errno.ts'
import { checkRoom, type Room } from './limits.ts'

export interface OpenFile {
  readonly fd: number
  readonly reference: Buffer
  readonly flags: number
}

interface HeldFile extends OpenFile {
  /** Calls of the kernel on other threads, which know the descriptor's number alone. */
  uses: number
  isClosed: boolean
}

export class OpenFiles {
  readonly #files = new Map<number, HeldFile>()
  readonly #room: Room

  /** The room may be shared with other sessions of the client. */
  constructor(room: Room) {
    this.#room = room
  }

  get size(): number {
    return this.#files.size
  }

  /** Throws ENFILE when the client has as many open as it may. */
  checkRoom(): void {
    checkRoom(this.#room)
  }

  add(handle: number, file: OpenFile): void {
    this.close(handle)
    this.#room.take(1)
    this.#files.set(handle, { ...file, uses: 0, isClosed: false })
  }

  /** Throws ESTALE for a handle that is not open. */
  get(handle: number): OpenFile {
    return this.#held(handle)
  }

  /**
   * For work on other threads: until it is done the descriptor stays, whoever closes the handle. Otherwise
   * its number could be another file's by then, and that of another client. Throws ESTALE as `get`.
   */
  async use<T>(handle: number, work: (file: OpenFile) => Promise<T>): Promise<T> {
    const file = this.#held(handle)
    file.uses += 1
    try {
      return await work(file)
    } finally {
      file.uses -= 1
      if (file.isClosed && file.uses === 0) closeSync(file.fd)
    }
  }

  close(handle: number): OpenFile | undefined {
    const file = this.#files.get(handle)
    if (file === undefined) return undefined
    this.#files.delete(handle)
    this.#room.giveBack(1)
    file.isClosed = true
    if (file.uses === 0) closeSync(file.fd)
    return file
  }

  closeAll(): readonly OpenFile[] {
    const files = [...this.#files.values()]
    for (const handle of [...this.#files.keys()]) this.close(handle)
    return files
  }

  #held(handle: number): HeldFile {
    const file = this.#files.get(handle)
    if (file === undefined) throw new FuseError('ESTALE')
    return file
  }
}
