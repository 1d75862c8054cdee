// The client's side of a session: calls that survive broken connections. Whatever was asked and not
// answered is asked again over the next connection, in the same order; requests that must take effect once
// keep their slot and number. Invariant: a call settles by its answer, by its caller's signal, or when the
// server was away for longer than `softMs`.
import { randomBytes } from 'node:crypto'
import { type TLSSocket } from 'node:tls'
import { abortedError, messageOf, throwIfAborted } from '../../core/core.ts'
import { errnoName, FuseError } from '../fuse/errno.ts'
import { FrameDecoder, NO_SLOT, writeFrame, type Frame } from '../wire/frame.ts'
import {
  decodePush,
  decodeReply,
  encodeCancel,
  encodeRequest,
  operationOf,
} from '../wire/message.ts'
import {
  VERSION,
  wireKinds,
  type WireName,
  type WireReplyOf,
  type WireRequestOf,
} from '../wire/operations.ts'
import { checkAnswer } from './answer-checks.ts'
import { AwaySignals } from './away-signals.ts'
import { encodedOrGivenBack, pendingCall, type PendingCall } from './call-frames.ts'
import { dial } from './dial.ts'
import { isRefusal, refusal, refusedExport } from './refusal.ts'
import { LinkState, type MemberState } from './link-state.ts'
import { SessionSlots, type UsedSlot } from './session-slots.ts'
import { type Answer, type CallOptions, type Volume, type VolumeOptions } from './volume.ts'

export interface ConnectionOptions extends VolumeOptions {
  readonly host: string
  readonly port: number
  readonly export: string
  /** The server has let us in, anew; what is called now comes before what has been waiting. */
  readonly onUp?: (hello: WireReplyOf<'hello'>) => void
  readonly onDown?: () => void
}

const FIRST_RETRY_MS = 50
const LONGEST_RETRY_MS = 1000

export class GridConnection implements Volume {
  readonly #options: ConnectionOptions
  readonly #session: Uint8Array
  readonly #calls = new Map<number, PendingCall>()
  readonly #first = Promise.withResolvers<WireReplyOf<'hello'>>()
  readonly #slots: SessionSlots
  /** Writes that an earlier process has promised to requests that come again. */
  readonly #owed = new Map<bigint, Promise<Answer<'write'>>>()
  /** Of the connection that there is, or was: made before it was ready. */
  readonly #callsFirst = new Set<number>()
  #socket: TLSSocket | undefined
  readonly #away = new AwaySignals()
  readonly link = new LinkState()
  #isReady = false
  #isClosed = false
  #isPatient = true
  #lastId = 0
  #retryMs = FIRST_RETRY_MS
  #retryTimer: NodeJS.Timeout | undefined
  #softTimer: NodeJS.Timeout | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#first.promise.catch(() => {})
    this.#session = options.kept?.id ?? randomBytes(16)
    this.#slots = new SessionSlots(options.kept)
    this.#lastId = this.#slots.lastId
    this.#sendOwed()
    this.#connect()
  }

  get ready(): Promise<WireReplyOf<'hello'>> {
    return this.#first.promise
  }

  async call<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    options: CallOptions = {},
  ): Promise<Answer<Name>> {
    const { data = [], caller, onKept, stampNs, signal = caller?.signal } = options
    if (!operationOf(name).isOnce) {
      if (!this.#isReady) throwIfAborted(signal)
      const answer = await this.#send(name, request, { data, signal, slot: undefined })
      checkAnswer(name, request, answer)
      return answer
    }
    const isAhead = onKept !== undefined
    const owed = isAhead && caller?.isResent === true ? this.#owed.get(caller.unique) : undefined
    if (owed !== undefined) {
      onKept?.()
      return owed as Promise<Answer<Name>>
    }
    const handle = 'handle' in request ? request.handle : 0
    const take = (stop: AbortSignal | undefined) =>
      this.#slots.take({ name, handle, caller, signal: stop, isAhead })
    const slot = await (this.#slots.hasFree ? take(undefined) : this.#away.during(signal, take))
    if (signal?.aborted && !this.#isReady && slot.id === undefined) {
      slot.settled()
      throw abortedError(signal)
    }
    const answer = this.#send(name, request, {
      ...{ data, signal: isAhead ? undefined : signal, slot, stampNs },
    })
    onKept?.()
    if (name === 'copy') checkAnswer(name, request, await answer)
    return answer
  }

  setPatience(isPatient: boolean): void {
    this.#isPatient = isPatient
    if (!isPatient && !this.#isReady) this.#failAll(new FuseError('ENOTCONN'))
  }

  state(): readonly MemberState[] {
    const { host, port, export: exported } = this.#options
    return [this.link.show(`${host}:${port}:${exported}`)]
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#softTimer)
    this.#socket?.destroy()
    this.#failAll(new FuseError('ENOTCONN', 'The file system is unmounted'))
  }

  /** Gives the connection up, and connects anew: the server is silent. */
  reconnect(): void {
    this.#socket?.destroy(new Error('it does not answer'))
  }

  #send<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    how: {
      readonly data: readonly Uint8Array[]
      readonly signal: AbortSignal | undefined
      readonly slot: UsedSlot | undefined
      readonly stampNs?: bigint | undefined
    },
  ): Promise<Answer<Name>> {
    const { data, signal, slot, stampNs } = how
    const id = slot?.id ?? this.#nextId()
    const encoded = encodedOrGivenBack(name, request, { id, data, slot, stampNs })
    slot?.sent(id, encoded)
    return this.#sendFrame(name, encoded, { id, signal, slot })
  }

  #sendFrame<Name extends WireName>(
    name: Name,
    encoded: readonly Uint8Array[],
    how: {
      readonly id: number
      readonly signal: AbortSignal | undefined
      readonly slot: UsedSlot | undefined
    },
  ): Promise<Answer<Name>> {
    const { id, signal, slot } = how
    const { call, answer, reject } = pendingCall<Name>(name, encoded, () => {
      signal?.removeEventListener('abort', onAbort)
      this.#calls.delete(id)
      slot?.settled()
    })
    const onAbort = () => this.#cancel(id, reject, signal)
    this.#calls.set(id, call)
    signal?.addEventListener('abort', onAbort, { once: true })
    if (this.#isReady && !this.#isClosed) this.#write(encoded)
    else if (this.#isClosed || !this.#isPatient) call.fail(new FuseError('ENOTCONN'))
    if (signal?.aborted) onAbort()
    return answer
  }

  #nextId(): number {
    this.#lastId = (this.#lastId + 1) >>> 0
    return this.#lastId
  }

  /** Before anything else: in the order in which the kernel was promised it. */
  #sendOwed(): void {
    for (const { slot, id, unique, handle, owed = [] } of this.#slots.owed()) {
      const written = this.#sendFrame('write', owed, { id, slot, signal: undefined })
      this.#owed.set(unique, written)
      const sizeBytes = owed[1]?.length ?? 0
      this.#options.kept?.onOwed({ handle, sizeBytes, written })
    }
  }

  /**
   * The caller gives up. A server that is there is asked to stop and its answer is waited for: it tells what
   * happened. While it is away the caller goes at once; the call stays and is settled with its slot later.
   */
  #cancel(id: number, reject: (error: Error) => void, signal: AbortSignal | undefined): void {
    const call = this.#calls.get(id)
    if (call === undefined || signal === undefined) return
    if (this.#isReady) this.#write(encodeCancel(id))
    else if (operationOf(call.name).isOnce) reject(abortedError(signal))
    else call.fail(abortedError(signal))
  }

  #write(parts: readonly Uint8Array[]): void {
    const socket = this.#socket
    if (socket !== undefined && !socket.destroyed) writeFrame(socket, parts)
  }

  #connect(): void {
    const socket = dial(this.#options)
    this.#socket = socket
    const decoder = new FrameDecoder()
    let lastError: Error | undefined
    socket.on('secureConnect', () => {
      socket.setTimeout(0)
      socket.setNoDelay(true)
      this.#greet()
    })
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of decoder.push(bytes)) this.#take(frame)
      } catch (error) {
        socket.destroy(error as Error)
      }
    })
    socket.on('error', (error) => (lastError = error))
    socket.on('close', () => this.#lost(lastError))
  }

  #greet(): void {
    const request = {
      ...{ version: VERSION, session: this.#session, export: Buffer.from(this.#options.export) },
    }
    const id = 0
    const encoded = encodeRequest('hello', request, { id, slot: NO_SLOT, sequence: 0, data: [] })
    this.#calls.set(id, {
      ...{ name: 'hello', encoded },
      settle: (frame) => {
        this.#calls.delete(id)
        if (frame.kind === wireKinds.failure) this.#refused(errnoName(frame.code))
        else void this.#greeted(decodeReply('hello', frame))
      },
      fail: () => {},
    })
    this.#write(encoded)
  }

  async #greeted(hello: WireReplyOf<'hello'>): Promise<void> {
    this.#retryMs = FIRST_RETRY_MS
    clearTimeout(this.#softTimer)
    this.#softTimer = undefined
    this.#slots.open(hello.slots)
    this.#options.onNote(`connected to ${this.#options.host}:${this.#options.port}`)
    if (!(await this.#hasMet(hello))) return
    const waiting = [...this.#calls.values()]
    this.#isReady = true
    this.#away.setAway(false)
    this.link.up()
    if (!hello.isKnown) this.#reclaim()
    this.#options.onUp?.(hello)
    for (const call of waiting) this.#write(call.encoded)
    this.#first.resolve(hello)
  }

  /** False when the connection broke in between. */
  async #hasMet({ verifier }: WireReplyOf<'hello'>): Promise<boolean> {
    const socket = this.#socket
    try {
      await this.#options.kept?.meet(verifier, (...args) => this.#callFirst(...args))
    } catch (error) {
      socket?.destroy(error as Error)
    }
    return socket === this.#socket && socket?.destroyed === false
  }

  /** Before all that waits for the connection; fails with it. */
  #callFirst<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    { data = [] }: CallOptions = {},
  ): Promise<Answer<Name>> {
    const id = this.#nextId()
    const encoded = encodeRequest(name, request, { id, slot: NO_SLOT, sequence: 0, data })
    const answer = this.#sendFrame<Name>(name, encoded, { id, signal: undefined, slot: undefined })
    this.#callsFirst.add(id)
    this.#write(encoded)
    return answer
  }

  /** Answered before anything behind it: a server carries out requests in their order. */
  #reclaim(): void {
    const open = this.#options.openFiles()
    if (open.length === 0) return
    void this.#send('reclaim', { open }, { data: [], signal: undefined, slot: undefined }).then(
      ({ reply }) => this.#options.onLost(reply.lost),
      () => {}, // the connection broke again, or the mount ended
    )
  }

  #take(frame: Frame): void {
    if (frame.kind === wireKinds.push) this.#options.onPush(decodePush(frame))
    else this.#calls.get(frame.id)?.settle(frame)
  }

  #refused(errno: string): void {
    const { host, port, export: exported } = this.#options
    const error = refusedExport(`${host}:${port}`, exported, errno)
    this.#first.reject(error)
    this.#options.onNote(error.message)
    this.#socket?.destroy()
  }

  #lost(error: Error | undefined): void {
    if (this.#isClosed) return
    const { host, port } = this.#options
    const why = error === undefined ? 'the connection ended' : messageOf(error)
    if (isRefusal(error)) this.#first.reject(refusal(`${host}:${port}`, error))
    if (this.#isReady || this.#retryMs === FIRST_RETRY_MS) {
      this.#options.onNote(`${host}:${port} is away: ${why}`)
    }
    this.#calls.delete(0)
    if (this.#isReady) this.#options.onDown?.()
    this.#isReady = false
    for (const id of this.#callsFirst) this.#calls.get(id)?.fail(new FuseError('ENOTCONN'))
    this.#callsFirst.clear()
    this.#away.setAway(true)
    this.link.down()
    if (!this.#isPatient) this.#failAll(new FuseError('ENOTCONN'))
    this.#softTimer ??= this.#startSoftTimer()
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS)
  }

  #startSoftTimer(): NodeJS.Timeout | undefined {
    const { softMs } = this.#options
    if (softMs === Infinity) return undefined
    return setTimeout(() => {
      this.#softTimer = undefined
      this.#failAll(new FuseError('ETIMEDOUT', 'The server is away'))
    }, softMs)
  }

  #failAll(error: Error): void {
    for (const call of [...this.#calls.values()]) call.fail(error)
  }
}
