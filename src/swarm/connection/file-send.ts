// The sending of parts of files by one socket. While their pages are in memory the kernel takes them from there,
// without a copy of ours; when it takes no more, a small write through the socket tells when it does again. What
// is not in memory is read by the thread pool first. Invariant: this thread never waits for a disk, and once
// `onEnd` was called nothing touches the files any more.
import { read, readSync } from 'node:fs'
import { SiError } from '../../core/core.ts'
import { isCached, sendFile } from '../../host/host.ts'
import { type FileSpan } from '../pieces/store.ts'
import { type TurnBudget } from './turn-budget.ts'

/** Written to learn when the socket takes more: whole pages, so that what follows begins with one. */
export const CARRIER_BYTES = 16 * 1024

/** How long pages that were in memory are taken to be there. */
const CACHED_FOR_MS = 50

/** Written where the kernel cannot send by itself. */
const READ_BYTES = 256 * 1024

/** The way out of a connection. */
export interface FileWay {
  /** Its descriptor, when the kernel may send by itself: open, and not encrypted. Asked before every use. */
  readonly descriptor: () => number | undefined
  /** Writes bytes, which must not change until the kernel has them; `onTaken` is not called if it never will. */
  readonly write: (bytes: Uint8Array, onTaken: () => void) => void
  /** Whether the kernel has all that was written. */
  readonly isFlushed: () => boolean
  /** Memory for a carrier, used by one file at a time. */
  readonly carrier: () => Buffer
  readonly budget: TurnBudget
}

export class FileSend {
  readonly #way: FileWay
  readonly #spans: readonly FileSpan[]
  readonly #onEnd: (error?: Error) => void
  /** How far we are: so many spans, and so many bytes of the next. */
  #sentSpans = 0
  #sentBytes = 0
  /** When the rest of the span that we are at was found in memory. */
  #cachedAtMs = -Infinity
  #isReading = false
  #isClosed = false
  #hasEnded = false

  /** `onEnd` is called once: all is with the kernel, a file could not be read, or this was closed. */
  constructor(way: FileWay, spans: readonly FileSpan[], onEnd: (error?: Error) => void) {
    this.#way = way
    this.#spans = spans
    this.#onEnd = onEnd
  }

  /** Sends `head`, if there is one, then the files. Nothing else may be written until the end. */
  start(head: Uint8Array | undefined): void {
    if (head !== undefined) this.#write(head)
    else if (this.#way.isFlushed()) this.#goOn()
    else this.#carry(this.#way.carrier())
  }

  /** Sends nothing more. Ends at once, or when the thread pool does not read any more. Idempotent. */
  close(): void {
    this.#isClosed = true
    if (!this.#isReading) this.#end()
  }

  #end(error?: Error): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnd(error)
  }

  /** What is left of the span that we are at. */
  get #rest(): FileSpan | undefined {
    const span = this.#spans[this.#sentSpans]
    if (span === undefined || this.#sentBytes === 0) return span
    const positionBytes = span.positionBytes + this.#sentBytes
    return { ...span, positionBytes, lengthBytes: span.lengthBytes - this.#sentBytes }
  }

  #advance(bytes: number): void {
    this.#sentBytes += bytes
    this.#way.budget.spend(bytes)
    if (this.#sentBytes < (this.#spans[this.#sentSpans]?.lengthBytes ?? 0)) return
    this.#sentSpans++
    this.#sentBytes = 0
    this.#cachedAtMs = -Infinity
  }

  /** Pages leave the memory only after a while: asked once, the answer holds for as long as a wait is short. */
  #isInMemory(span: FileSpan): boolean {
    if (span.isMemory) return true
    const nowMs = performance.now()
    if (nowMs - this.#cachedAtMs < CACHED_FOR_MS) return true
    if (!isCached(span.fd, span)) return false
    this.#cachedAtMs = nowMs
    return true
  }

  /** The socket has taken all that was written: the kernel may send from the file. */
  #goOn(): void {
    if (this.#isClosed) return this.#end()
    if (this.#way.budget.isSpent) return void setImmediate(() => this.#goOn())
    const socketFd = this.#way.descriptor()
    if (socketFd === undefined) return this.#carry(largeBuffer())
    for (let rest = this.#rest; rest !== undefined; rest = this.#rest) {
      if (!this.#isInMemory(rest)) return this.#readFirst(rest)
      const sentBytes = trySending(socketFd, rest)
      if (sentBytes === 'refused') return this.#readFirst(rest)
      if (sentBytes === undefined) return this.#carry(this.#way.carrier())
      if (sentBytes === 0) return this.#end(shortened())
      this.#advance(sentBytes)
    }
    this.#end()
  }

  /** Reads and writes a piece of the file by ourselves. */
  #carry(into: Buffer): void {
    const rest = this.#rest
    if (rest === undefined) return this.#end()
    if (!this.#isInMemory(rest)) return this.#readFirst(rest)
    const lengthBytes = Math.min(into.length, rest.lengthBytes)
    try {
      this.#writeRead(into, readSync(rest.fd, into, 0, lengthBytes, rest.positionBytes))
    } catch (error) {
      this.#end(error as Error)
    }
  }

  /** As #carry(), by the thread pool. */
  #readFirst(rest: FileSpan): void {
    const bytes = largeBuffer()
    const lengthBytes = Math.min(bytes.length, rest.lengthBytes)
    this.#isReading = true
    read(rest.fd, bytes, 0, lengthBytes, rest.positionBytes, (error, bytesRead) => {
      this.#isReading = false
      if (this.#isClosed) this.#end()
      else if (error !== null) this.#end(error)
      else this.#writeRead(bytes, bytesRead)
    })
  }

  #writeRead(bytes: Buffer, bytesRead: number): void {
    if (bytesRead === 0) return this.#end(shortened())
    this.#advance(bytesRead)
    this.#write(bytes.subarray(0, bytesRead))
  }

  #write(bytes: Uint8Array): void {
    this.#way.write(bytes, () => this.#goOn())
  }
}

function largeBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(READ_BYTES)
}

/** Refused: by the file system, or by a socket that has failed. A read and a write tell which. */
function trySending(socketFd: number, span: FileSpan): number | undefined | 'refused' {
  try {
    return sendFile(socketFd, span.fd, span)
  } catch {
    return 'refused'
  }
}

function shortened(): SiError {
  return new SiError('ERR_SI_INTEGRITY', 'A seeded file became shorter')
}
