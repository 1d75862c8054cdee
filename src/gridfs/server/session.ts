// One client's use of one export: what it has open, what it was answered, what it must be told. A session
// outlives its connection for the time of its lease.
import { constants } from 'node:os'
import { errnoOf, isSiError, SiError } from '../../core/core.ts'
import { errnoNumber } from '../fuse/errno.ts'
import { withFrameId, type Frame } from '../wire/frame.ts'
import {
  decodeRequest,
  encodeFailure,
  encodePush,
  encodeReply,
  operationOf,
  type Push,
} from '../wire/message.ts'
import { type WireName } from '../wire/operations.ts'
import { changesOf } from './changes.ts'
import { type Data, type ServerContext, type ServerHandler } from './context.ts'
import { fileHandlers } from './file-handlers.ts'
import { nameHandlers } from './name-handlers.ts'
import { Slots, type Answer, type Intent } from './once.ts'
import { touchedBy } from './reaches.ts'
import { evidenceFor, settledBefore } from './recovery.ts'

export const SLOTS = 64
/** Bytes that wait for a client that reads nothing, before its connection is cut. */
export const MAXIMUM_WAITING_BYTES = 64 * 2 ** 20

const handlers = { ...nameHandlers, ...fileHandlers }

export interface SessionOptions {
  readonly context: Omit<ServerContext, 'signal'>
  readonly isReadOnly: boolean
  /** Where answers are written down. */
  readonly slotsFile: string
  /** Tells the other clients of the export. */
  readonly tell: (push: Push) => void
  readonly onFault: (error: unknown, name: WireName) => void
}

export class ServerSession {
  readonly context: Omit<ServerContext, 'signal'>
  readonly #options: SessionOptions
  readonly #slots: Slots
  readonly #running = new Map<number, AbortController>()
  #send: ((parts: readonly Uint8Array[]) => void) | undefined

  constructor(options: SessionOptions) {
    this.#options = options
    this.context = options.context
    this.#slots = new Slots(SLOTS, options.slotsFile)
  }

  /** From now on answers go there. */
  attach(send: (parts: readonly Uint8Array[]) => void): void {
    this.#send = send
  }

  /** The connection is gone. What is being carried out goes on: the client will ask for the answer. */
  detach(send: (parts: readonly Uint8Array[]) => void): boolean {
    if (this.#send !== send) return false // it is back on another connection already
    this.#send = undefined
    return true
  }

  /** Gives everything back that the client held. */
  end(): void {
    this.#send = undefined
    for (const controller of this.#running.values()) controller.abort()
    const { files, locks, orphans, client } = this.context
    locks.releaseOwners((owner) => owner.startsWith(`${client} `))
    for (const { reference } of files.closeAll()) orphans.closed(reference)
    this.#slots.close()
  }

  push(push: Push): void {
    this.#send?.(encodePush(push))
  }

  cancel(id: number): void {
    this.#running.get(id)?.abort()
  }

  /** Carries out a request and answers it. Throws ERR_SI_PROTOCOL for what no honest client sends. */
  async request(frame: Frame): Promise<void> {
    const { name, request } = decodeRequest(frame)
    const dataBytes = frame.data.reduce((sum, part) => sum + part.length, 0)
    const carryOut = (before?: Intent) => this.#carryOut(name, request, { frame, before })
    const inTurn = (work: () => Promise<Answer>) =>
      this.context.turns.take(touchedBy(this.context, name, { request, dataBytes }), work)
    const answer = operationOf(name).isOnce
      ? await this.#slots.answer({
          ...{ slot: frame.slot, sequence: frame.sequence, inTurn, carryOut },
          intent: () => this.#intent(name, request),
        })
      : await inTurn(carryOut)
    this.#send?.(withFrameId(answer, frame.id))
  }

  /** Nothing for what may be done twice, or cannot be done anyway. */
  #intent(name: WireName, request: unknown): Intent | undefined {
    try {
      const evidence = evidenceFor(this.context, name, request)
      return evidence === undefined ? undefined : { evidence, isAnswerOfProcess: name === 'create' }
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
      return undefined
    }
  }

  async #carryOut(
    name: WireName,
    request: unknown,
    { frame, before }: { readonly frame: Frame; readonly before: Intent | undefined },
  ): Promise<Answer> {
    if (name === 'hello') throw new SiError('ERR_SI_PROTOCOL', '"hello" comes once')
    if (this.#options.isReadOnly && changesOf(name, request) !== 'nothing') {
      return encodeFailure(frame.id, constants.errno.EROFS)
    }
    const controller = new AbortController()
    this.#running.set(frame.id, controller)
    try {
      const data: Data = { request: frame.data, reply: [], before: before?.evidence }
      const context = { ...this.context, signal: controller.signal }
      const handler = handlers[name] as ServerHandler<never>
      const settled =
        before === undefined
          ? undefined
          : settledBefore(context, name, { request, evidence: before.evidence })
      const reply: unknown = settled ?? (await handler(context, request as never, data))
      this.#tellOthers(name, request, reply)
      return encodeReply(name, frame.id, reply, data.reply)
    } catch (error) {
      if (isSiError(error, 'ERR_SI_PROTOCOL')) throw error
      if (errnoOf(error) === undefined && !isSiError(error, 'ERR_SI_ABORTED')) {
        this.#options.onFault(error, name)
      }
      return encodeFailure(frame.id, errnoNumber(error))
    } finally {
      this.#running.delete(frame.id)
    }
  }

  #tellOthers(name: WireName, request: unknown, reply: unknown): void {
    const changes = changesOf(name, request)
    if (changes === 'nothing') return
    for (const push of changes(this.context, reply)) this.#options.tell(push)
  }
}
