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
import { dataBytesOf } from './intake.ts'
import { mirrorHandlers } from './mirror-handlers.ts'
import { nameHandlers } from './name-handlers.ts'
import { Slots, type Answer, type Intent } from './once.ts'
import { touchedBy } from './reaches.ts'
import { evidenceFor, settledBefore } from './recovery.ts'
import { carryOutStamped } from './stamp.ts'

export const SLOTS = 64

const handlers = { ...nameHandlers, ...fileHandlers, ...mirrorHandlers }

export interface SessionOptions {
  readonly context: Omit<ServerContext, 'signal'>
  readonly isReadOnly: () => boolean
  /** Where answers are written down. */
  readonly slotsFile: string
  readonly onEnd: () => void
  readonly onFault: (error: unknown, name: WireName) => void
}

const NO_ANSWER: Answer = []

/** Settles when it has left, or cannot any more. */
export type Send = (parts: readonly Uint8Array[]) => Promise<void>

export class ServerSession {
  readonly context: Omit<ServerContext, 'signal'>
  readonly #options: SessionOptions
  readonly #slots: Slots
  readonly #running = new Map<number, AbortController>()
  #send: Send | undefined
  #isEnded = false
  #isStopping = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.context = options.context
    this.#slots = new Slots(SLOTS, options.slotsFile)
  }

  /** From now on answers go there. */
  attach(send: Send): void {
    this.#send = send
  }

  /** The connection is gone. What is being carried out goes on: the client will ask for the answer. */
  detach(send: Send): boolean {
    if (this.#send !== send) return false // it is back on another connection already
    this.#send = undefined
    return true
  }

  /** Gives everything back that the client held; what was written down stays unless it is forgotten. */
  end({ isForgotten }: { readonly isForgotten: boolean }): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#send = undefined
    for (const controller of this.#running.values()) controller.abort()
    const { files, locks, orphans, mirror, client } = this.context
    for (const hold of Object.values(mirror.holds)) hold.leave(client)
    locks.releaseOwners((owner) => owner.startsWith(`${client} `))
    for (const { reference } of files.closeAll()) if (isForgotten) orphans.closed(reference)
    this.#slots.close({ isForgotten })
    this.#options.onEnd()
  }

  /** The process ends: who waits for a lock is not answered, and asks the next one. */
  stopWaiting(): void {
    this.#isStopping = true
    for (const controller of this.#running.values()) controller.abort()
  }

  /** Whether this is the newest connection of its client. */
  isAnsweredBy(send: Send): boolean {
    return this.#send === send
  }

  push(push: Push): void {
    void this.#send?.(encodePush(push))
  }

  cancel(id: number): void {
    this.#running.get(id)?.abort()
  }

  /** Carries out a request and answers it; settles when the answer has left. Throws ERR_SI_PROTOCOL for what no honest client sends. */
  async request(frame: Frame): Promise<void> {
    const send = this.#send
    const { name, request, stampNs } = decodeRequest(frame)
    const { client, mirror } = this.context
    for (const hold of Object.values(mirror.holds)) hold.heard(client)
    const dataBytes = dataBytesOf(frame)
    const carryOut = (before?: Intent) => this.#carryOut(name, request, { frame, before, stampNs })
    const inTurn = (work: () => Promise<Answer>) =>
      this.context.turns.take(touchedBy(this.context, name, { request, dataBytes }), work)
    const answer = operationOf(name).isOnce
      ? await this.#slots.answer({
          ...{ slot: frame.slot, sequence: frame.sequence, inTurn, carryOut },
          intent: () => this.#intent(name, request),
        })
      : await inTurn(carryOut)
    // On another connection the client asks again; there the id may be that of something else.
    if (send !== undefined && send === this.#send && answer.length > 0) {
      await send(withFrameId(answer, frame.id))
    }
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
    {
      frame,
      before,
      stampNs,
    }: {
      readonly frame: Frame
      readonly before: Intent | undefined
      readonly stampNs: bigint | undefined
    },
  ): Promise<Answer> {
    if (name === 'hello') throw new SiError('ERR_SI_PROTOCOL', '"hello" comes once')
    if (this.#options.isReadOnly() && changesOf(name, request) !== 'nothing') {
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
      const handle = async (wanted: unknown): Promise<unknown> =>
        settled ?? (await handler(context, wanted as never, data))
      const reply =
        stampNs === undefined
          ? await handle(request)
          : await carryOutStamped(context, { name, request, stampNs }, handle)
      this.#tellOthers(name, request, reply)
      return encodeReply(name, frame.id, reply, data.reply)
    } catch (error) {
      if (isSiError(error, 'ERR_SI_PROTOCOL')) throw error
      if (this.#isStopping && isSiError(error, 'ERR_SI_ABORTED')) return NO_ANSWER
      if (errnoOf(error) === undefined && !isSiError(error, 'ERR_SI_ABORTED')) {
        this.#options.onFault(error, name)
      }
      return encodeFailure(frame.id, errnoNumber(error))
    } finally {
      if (this.#running.get(frame.id) === controller) this.#running.delete(frame.id)
    }
  }

  #tellOthers(name: WireName, request: unknown, reply: unknown): void {
    const changes = changesOf(name, request)
    if (changes === 'nothing') return
    for (const push of changes(this.context, reply)) this.context.tell(push)
  }
}
