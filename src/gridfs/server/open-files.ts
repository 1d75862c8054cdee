// The files that a client has open here, by the numbers that it gave them.
import { closeSync } from 'node:fs'
import { FuseError } from '../fuse/errno.ts'

export interface OpenFile {
  readonly fd: number
  readonly reference: Buffer
  readonly flags: number
}

export class OpenFiles {
  readonly #files = new Map<number, OpenFile>()
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#files.size
  }

  /** Throws ENFILE when the client has as many open as it may. */
  checkRoom(): void {
    if (this.#files.size >= this.#limit) throw new FuseError('ENFILE')
  }

  add(handle: number, file: OpenFile): void {
    this.close(handle)
    this.#files.set(handle, file)
  }

  /** Throws ESTALE for a handle that is not open. */
  get(handle: number): OpenFile {
    const file = this.#files.get(handle)
    if (file === undefined) throw new FuseError('ESTALE')
    return file
  }

  close(handle: number): OpenFile | undefined {
    const file = this.#files.get(handle)
    if (file === undefined) return undefined
    this.#files.delete(handle)
    closeSync(file.fd)
    return file
  }

  closeAll(): readonly OpenFile[] {
    const files = [...this.#files.values()]
    for (const handle of [...this.#files.keys()]) this.close(handle)
    return files
  }

  values(): Iterable<OpenFile> {
    return this.#files.values()
  }
}
