// One connection of a client: who it is, the frames that come, the answers that go. Invariant: nothing of a
// client is looked at before its certificate was judged. PROTOCOL.md §1.
import { constants } from 'node:os'
import { type TLSSocket } from 'node:tls'
import { errnoOf, isSiError, messageOf, SiError } from '../../core/core.ts'
import { type Identity } from '../../pki/pki.ts'
import { errnoNumber } from '../fuse/errno.ts'
import { FrameDecoder, writeFrame, type Frame } from '../wire/frame.ts'
import { decodeRequest, encodeFailure, encodeReply } from '../wire/message.ts'
import { VERSION, wireKinds, type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { Intake } from './intake.ts'
import { type ClientRooms, type GridLimits } from './limits.ts'
import { latin1 } from './object-table.ts'
import { SLOTS, type ServerSession } from './session.ts'
import { type SharedExport } from './shared-export.ts'

export interface ServedOptions {
  readonly identity: Identity
  readonly rooms: ClientRooms
  readonly limits: () => GridLimits
  readonly find: (name: string) => SharedExport | undefined
  readonly onNote: (text: string) => void
}

/** What a client asked for first, and was given. */
interface Greeted {
  readonly shared: SharedExport
  readonly session: ServerSession
}

export class ServedConnection {
  readonly identity: Identity
  readonly #socket: TLSSocket
  readonly #options: ServedOptions
  readonly #decoder = new FrameDecoder()
  readonly #intake: Intake
  readonly #openedMs = performance.now()
  #greeted: Greeted | undefined
  /** When the first byte of a frame came that is not whole yet. */
  #partialSinceMs: number | undefined
  #lastSentMs = 0

  constructor(socket: TLSSocket, options: ServedOptions) {
    this.identity = options.identity
    this.#socket = socket
    this.#options = options
    this.#intake = new Intake({
      memory: options.rooms.memory,
      carryOut: (frame) => this.#carryOut(frame),
      onHunger: (isHungry) => (isHungry ? socket.resume() : socket.pause()),
    })
    options.rooms.connections.take(1)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEPALIVE_MS)
    socket.on('data', (bytes: Buffer) => this.#read(bytes))
    socket.on('error', () => {}) // the end is told by close
    socket.on('close', () => this.#closed())
  }

  /** Who stalls is cut off; to be asked now and then. */
  checkProgress(nowMs: number): void {
    const { stalledMs } = this.#options.limits()
    const isLate = (sinceMs: number) => nowMs - sinceMs > stalledMs
    // While we do not read, the rest of a message cannot come.
    if (this.#socket.isPaused() && this.#partialSinceMs !== undefined) this.#partialSinceMs = nowMs
    if (this.#socket.writableLength > 0 && isLate(this.#lastSentMs)) {
      this.cutOff('it does not read its answers')
    } else if (this.#partialSinceMs !== undefined && isLate(this.#partialSinceMs)) {
      this.cutOff('it does not send the rest of a message')
    } else if (this.#greeted === undefined && isLate(this.#openedMs)) {
      this.cutOff('it does not say what it wants')
    }
  }

  /** After the rules have changed. */
  checkRight(): void {
    if (this.#greeted === undefined) return
    const { shared } = this.#greeted
    const { name } = shared.rules
    if (this.#options.find(name) !== shared) this.cutOff(`${name} is not exported any more`)
    else if (!shared.rules.allows(this.identity)) this.cutOff(`${name} is not for it any more`)
  }

  cutOff(why: string): void {
    if (this.#socket.destroyed) return
    const place = this.#socket.remoteAddress ?? 'a client'
    this.#options.onNote(`cut off ${this.identity.name} (${place}): ${why}`)
    this.#socket.destroy()
  }

  /** Begins nothing more; settles when what was begun is answered. */
  async drain(): Promise<void> {
    this.#socket.pause()
    this.#intake.end()
    this.#greeted?.session.stopWaiting()
    await this.#intake.idle()
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #read(bytes: Buffer): void {
    try {
      const frames = this.#decoder.push(bytes)
      if (!this.#decoder.isPartial) this.#partialSinceMs = undefined
      else if (frames.length > 0) this.#partialSinceMs = performance.now()
      else this.#partialSinceMs ??= performance.now()
      this.#intake.take(frames)
    } catch (error) {
      if (!isSiError(error)) throw error
      this.cutOff(messageOf(error))
    }
  }

  async #carryOut(frame: Frame): Promise<void> {
    try {
      const session = this.#greeted?.session
      if (session === undefined) await this.#greet(frame)
      // The client is back on another connection: what comes late could undo what came since.
      else if (!session.isAnsweredBy(this.#send)) this.#socket.destroy()
      else if (frame.kind === wireKinds.cancel) session.cancel(frame.id)
      else if (frame.kind === wireKinds.request) await session.request(frame)
      else throw new SiError('ERR_SI_PROTOCOL', `a client sends no frame of kind ${frame.kind}`)
    } catch (error) {
      this.cutOff(messageOf(error))
    }
  }

  readonly #send = (parts: readonly Uint8Array[]): Promise<void> => {
    const socket = this.#socket
    if (socket.destroyed) return Promise.resolve()
    if (socket.writableLength > this.#options.limits().clientMemoryBytes) {
      this.cutOff('it does not read what it is told')
      return Promise.resolve()
    }
    if (socket.writableLength === 0) this.#lastSentMs = performance.now()
    return new Promise((resolve) => {
      writeFrame(socket, parts, () => {
        this.#lastSentMs = performance.now()
        resolve()
      })
    })
  }

  /** The first message: which export, and whether we still know the session. */
  #greet(frame: Frame): Promise<void> {
    const { name, request } = decodeRequest(frame)
    if (frame.kind !== wireKinds.request || name !== 'hello') {
      throw new SiError('ERR_SI_PROTOCOL', `"hello" comes first, not "${name}"`)
    }
    const hello = request as WireRequestOf<'hello'>
    if (hello.version !== VERSION) {
      throw new SiError('ERR_SI_PROTOCOL', `version ${hello.version} instead of ${VERSION}`)
    }
    const exported = latin1(hello.export)
    const shared = this.#options.find(exported)
    if (shared === undefined) return this.#refuse(frame, exported, constants.errno.ENOENT)
    if (!shared.rules.allows(this.identity)) {
      return this.#refuse(frame, exported, constants.errno.EACCES)
    }
    try {
      const reply = this.#welcome(shared, latin1(hello.session))
      return this.#send(encodeReply('hello', frame.id, reply, []))
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
      return this.#refuse(frame, exported, errnoNumber(error))
    }
  }

  #welcome(shared: SharedExport, id: string): WireReplyOf<'hello'> {
    const { root } = shared.objects
    const attributes = shared.objects.attributes(root)
    const { session, isKnown } = shared.attach(this.identity, id, this.#send)
    this.#greeted = { shared, session }
    return {
      ...{ isKnown, verifier: shared.verifier, slots: SLOTS },
      ...{ isReadOnly: shared.rules.isReadOnly, root: { reference: root, attributes } },
    }
  }

  #refuse(frame: Frame, exported: string, errno: number): Promise<void> {
    this.#options.onNote(`refused ${this.identity.name} the export ${exported}`)
    return this.#send(encodeFailure(frame.id, errno))
  }

  #closed(): void {
    this.#intake.end()
    this.#options.rooms.connections.giveBack(1)
    if (this.#greeted !== undefined) {
      this.#greeted.shared.detach(this.#greeted.session, this.#send)
    }
  }
}

/** A machine that lost power says no goodbye. */
const KEEPALIVE_MS = 15_000
