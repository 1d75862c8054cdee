// A conversation with the kernel over /dev/fuse: requests are carried out at the same time, each is answered
// once. One read gives one request. It is made by this thread, which waits for the device as for sockets, or
// by threads of libuv's pool: UV_THREADPOOL_SIZE must then be larger than `readers` and what else is done.
import { read, writev, writevSync } from 'node:fs'
import { constants } from 'node:os'
import { promisify } from 'node:util'
import { errnoOf, SiError } from '../../core/core.ts'
import { errnoNumber } from './errno.ts'
import { type FuseFileSystem, type Handler } from './file-system.ts'
import {
  encodeHandshakeReply,
  NEWEST_MINOR,
  type Capability,
  type KernelOffer,
} from './handshake.ts'
import { encodeNotification, type Notification } from './notification.ts'
import { InFlight } from './in-flight.ts'
import { pollDevice } from './polled-device.ts'
import {
  decodeFields,
  decodeRequest,
  encodeFailure,
  encodeReply,
  withHeader,
  type FuseRequest,
  type OperationName,
  type RequestHeader,
} from './request.ts'

export interface FuseSessionOptions {
  /** The open /dev/fuse of a mount. The session does not close it. */
  readonly fd: number
  readonly fileSystem: FuseFileSystem
  /** Threads that read; none when left out, or half of libuv's where Node cannot wait for the device. */
  readonly readers?: number
  /** A handler failed in a way that has no errno: a fault of the file system. */
  readonly onFault?: (error: unknown, operation: OperationName) => void
  /** What an earlier session on the same descriptor agreed on: the kernel does not ask twice. */
  readonly agreed?: KernelOffer
  /** What was read from the descriptor already (see takeResent). */
  readonly requests?: readonly Buffer[]
}

export interface FuseSession {
  /** Settles when the file system is unmounted, or the connection aborted. */
  readonly ended: Promise<void>
  /** Settles with what the kernel offered, once it has. */
  readonly ready: Promise<KernelOffer>
  /** False when the kernel had nothing cached. */
  notify(notification: Notification): Promise<boolean>
}

const MAXIMUM_READERS = 4
/** What libuv has unless UV_THREADPOOL_SIZE says otherwise. */
const DEFAULT_POOL_THREADS = 4
export const MAXIMUM_WRITE_BYTES = 2 ** 20
/** A write's header and whatever names come with a request. */
const REQUEST_ROOM_BYTES = 64 * 2 ** 10
export const REQUEST_BYTES = MAXIMUM_WRITE_BYTES + REQUEST_ROOM_BYTES
/** Requests that are smaller are copied out of the reading buffer, which is then read into again. */
const COPIED_BELOW_BYTES = 16 * 2 ** 10
/** Replies with more data are written on another thread: the kernel copies while it is called. */
const SYNCHRONOUS_BELOW_BYTES = 64 * 2 ** 10
const MAXIMUM_BACKGROUND_REQUESTS = 64
const MAXIMUM_READAHEAD_BYTES = 4 * 2 ** 20

const readAsync = promisify(read)
const writevAsync = promisify(writev)

/** Begins to answer the kernel's requests. */
export function startFuseSession(options: FuseSessionOptions): FuseSession {
  return new Session(options)
}

class Session implements FuseSession {
  readonly ended: Promise<void>
  readonly ready: Promise<KernelOffer>
  readonly #fd: number
  readonly #fileSystem: FuseFileSystem
  readonly #options: FuseSessionOptions
  readonly #inFlight = new InFlight()
  readonly #offer = Promise.withResolvers<KernelOffer>()
  readonly #buffers: Buffer[] = []

  constructor(options: FuseSessionOptions) {
    this.#options = options
    this.#fd = options.fd
    this.#fileSystem = options.fileSystem
    this.ready = this.#offer.promise
    this.ready.catch(() => {}) // `ended` tells of it as well
    if (options.agreed !== undefined) this.#offer.resolve(options.agreed)
    for (const request of options.requests ?? []) void this.#serve(decodeRequest(request))
    const polled = options.readers === undefined ? this.#poll() : undefined
    this.ended = (polled ?? this.#readByThreads()).then(() => {
      this.#inFlight.abortAll()
      this.#offer.reject(
        new SiError('ERR_SI_PROTOCOL', 'Unmounted before the kernel said anything'),
      )
    })
  }

  async notify(notification: Notification): Promise<boolean> {
    try {
      await writevAsync(this.#fd, encodeNotification(notification))
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || isOver(error)) return false
      throw error
    }
  }

  #poll(): Promise<void> | undefined {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let buffer: Buffer
    const poll = () =>
      pollDevice(this.#fd, {
        buffer: () => (buffer = this.#buffers.pop() ?? newBuffer()),
        onRequest: (lengthBytes) => this.#take(buffer, lengthBytes),
        onEnd(error) {
          if (isToBeReadAgain(error)) poll()
          else if (error === undefined || isOver(error)) resolve()
          else reject(error)
        },
      })
    return poll() && promise
  }

  async #readByThreads(): Promise<void> {
    const length = this.#options.readers ?? defaultReaders()
    await Promise.all(Array.from({ length }, () => this.#read()))
  }

  async #read(): Promise<void> {
    for (;;) {
      const buffer = this.#buffers.pop() ?? newBuffer()
      let lengthBytes: number
      try {
        ;({ bytesRead: lengthBytes } = await readAsync(this.#fd, buffer, 0, buffer.length, null))
      } catch (error) {
        if (isOver(error)) return
        if (isToBeReadAgain(error)) continue
        throw error
      }
      this.#take(buffer, lengthBytes)
    }
  }

  #take(buffer: Buffer, lengthBytes: number): void {
    if (lengthBytes < COPIED_BELOW_BYTES) {
      const bytes = Buffer.from(buffer.subarray(0, lengthBytes))
      this.#buffers.push(buffer)
      void this.#serve(decodeRequest(bytes))
    } else {
      const request = decodeRequest(buffer.subarray(0, lengthBytes))
      void this.#serve(request).finally(() => {
        if (this.#buffers.length < BUFFERS_KEPT) this.#buffers.push(buffer)
      })
    }
  }

  async #serve(request: FuseRequest): Promise<void> {
    const { header } = request
    switch (request.kind) {
      case 'operation':
        return this.#operate(request)
      case 'forget':
        return this.#fileSystem.forget(request.forgotten)
      case 'interrupt':
        // A request that is not known yet is still with another reader: EAGAIN has the kernel ask again.
        if (!this.#inFlight.interrupt(request.unique)) {
          await this.#answer(encodeFailure(header.unique, constants.errno.EAGAIN))
        }
        return
      case 'init':
        return this.#agree(header, request.offer)
      case 'destroy':
        return this.#answer(withHeader(header.unique, []))
      case 'unknown':
        return this.#answer(encodeFailure(header.unique, constants.errno.ENOSYS))
      default:
        return request satisfies never
    }
  }

  async #operate(request: Extract<FuseRequest, { kind: 'operation' }>): Promise<void> {
    const { header, name, body } = request
    const handler = this.#fileSystem.handlers[name] as Handler<OperationName> | undefined
    if (handler === undefined) {
      return this.#answer(encodeFailure(header.unique, constants.errno.ENOSYS))
    }
    const call = this.#inFlight.begin(header)
    let reply: readonly Uint8Array[]
    try {
      const result = await handler(header.nodeId, decodeFields(name, body) as never, call)
      reply = encodeReply(name, header.unique, result)
    } catch (error) {
      if (errnoOf(error) === undefined) this.#options.onFault?.(error, name)
      reply = encodeFailure(header.unique, errnoNumber(error))
    }
    this.#inFlight.end(header.unique)
    this.#fileSystem.beforeAnswer?.()
    await this.#answer(reply)
    call.answered()
  }

  async #agree(header: RequestHeader, offer: KernelOffer): Promise<void> {
    const wanted: readonly Capability[] = this.#fileSystem.capabilities(offer)
    const reply = encodeHandshakeReply({
      minor: Math.min(offer.minor, NEWEST_MINOR),
      maximumReadaheadBytes: Math.min(offer.maximumReadaheadBytes, MAXIMUM_READAHEAD_BYTES),
      capabilities: wanted.filter((name) => offer.capabilities.has(name)),
      maximumBackgroundRequests: MAXIMUM_BACKGROUND_REQUESTS,
      maximumWriteBytes: MAXIMUM_WRITE_BYTES,
      timeGranularityNs: 1,
    })
    await this.#answer(withHeader(header.unique, [reply]))
    this.#offer.resolve(offer)
  }

  async #answer(parts: readonly Uint8Array[]): Promise<void> {
    try {
      const isLarge = parts.length > 1 && (parts[1]?.length ?? 0) >= SYNCHRONOUS_BELOW_BYTES
      if (isLarge) await writevAsync(this.#fd, parts)
      else writevSync(this.#fd, parts)
    } catch (error) {
      // ENOENT: the request was interrupted and given up, or its process ended.
      if (errnoOf(error) !== 'ENOENT' && !isOver(error)) throw error
    }
  }
}

const BUFFERS_KEPT = 16

function defaultReaders(): number {
  const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? DEFAULT_POOL_THREADS)
  return Math.min(MAXIMUM_READERS, Math.max(1, Math.floor(threads / 2)))
}

function newBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(REQUEST_BYTES)
}

/** Unmounted (ENODEV), or the connection was aborted. */
function isOver(error: unknown): boolean {
  const code = errnoOf(error)
  return code === 'ENODEV' || code === 'ECONNABORTED' || code === 'EBADF'
}

/** ENOENT: a request was interrupted while it was being read. */
function isToBeReadAgain(error: unknown): boolean {
  const code = errnoOf(error)
  return code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN'
}
