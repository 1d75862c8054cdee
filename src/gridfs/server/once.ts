// The slots of a session: what was answered last in each, so that a request that comes again takes effect
// once and is answered the same (NFSv4.1 has the same, RFC 8881 §2.10.6). What cannot simply be done twice
// is written down before and after, in a file that outlives this process, though not a power cut.
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { SiError } from '../../core/core.ts'

export type Answer = readonly Uint8Array[]

/** What was about to be done when the process ended. */
export interface Intent {
  /** How it was before; only the operation knows what that means. */
  readonly evidence: Buffer
  /** The answer says nothing to another process, which needs to carry the request out for itself. */
  readonly isAnswerOfProcess: boolean
}

interface Slot {
  sequence: number
  answer: Promise<Answer> | undefined
  intent: Intent | undefined
}

export interface OnceRequest {
  readonly slot: number
  readonly sequence: number
  /** Has the work wait for what came before it. */
  readonly inTurn: (work: () => Promise<Answer>) => Promise<Answer>
  /** What will be written down before, when the operation must not be done twice; asked in its turn. */
  readonly intent: () => Intent | undefined
  /** `before`: an earlier process meant to do it, and may have. */
  readonly carryOut: (before: Intent | undefined) => Promise<Answer>
}

/** Room for any answer and any reference; the values of long extended attributes are not written down. */
const RECORD_BYTES = 4096
const RECORD_HEADER_BYTES = 8
const STATES = { empty: 0, intent: 1, answer: 2 } as const

export class Slots {
  readonly #slots: Slot[]
  readonly #file: string
  readonly #fd: number
  #isClosed = false

  /** The file is made if need be; what it holds is taken up. */
  constructor(count: number, file: string) {
    this.#file = file
    this.#fd = openSync(file, 'a+', 0o600)
    closeSync(this.#fd)
    this.#fd = openSync(file, 'r+')
    this.#slots = Array.from({ length: count }, (_, slot) => this.#read(slot))
  }

  /** What is still being carried out is not written down any more. */
  close({ isForgotten }: { readonly isForgotten: boolean }): void {
    this.#isClosed = true
    closeSync(this.#fd)
    if (isForgotten) rmSync(this.#file, { force: true })
  }

  /** Answers a request: by carrying it out, or as before when that was done already. */
  answer(request: OnceRequest): Promise<Answer> {
    const { slot: number, sequence } = request
    const slot = this.#slots[number]
    if (slot === undefined) throw outOfOrder(`slot ${number} of ${this.#slots.length}`)
    if (sequence < slot.sequence) {
      throw outOfOrder(`sequence ${sequence} after ${slot.sequence} in slot ${number}`)
    }
    if (sequence === slot.sequence && slot.answer !== undefined) return slot.answer
    const before = sequence === slot.sequence ? slot.intent : undefined
    slot.sequence = sequence
    slot.intent = undefined
    slot.answer = request.inTurn(() => this.#carryOut(request, before))
    return slot.answer
  }

  async #carryOut(request: OnceRequest, before: Intent | undefined): Promise<Answer> {
    const intent = before ?? request.intent()
    if (intent !== undefined && before === undefined) {
      this.#write(request.slot, STATES.intent, intent.evidence)
    }
    const answer = await request.carryOut(before)
    if (intent?.isAnswerOfProcess === false) {
      this.#write(request.slot, STATES.answer, Buffer.concat(answer))
    }
    return answer
  }

  #write(number: number, state: number, content: Buffer): void {
    if (this.#isClosed) return
    const record = Buffer.alloc(RECORD_HEADER_BYTES + content.length)
    const isTooLong = record.length > RECORD_BYTES
    record.writeUInt32LE(this.#slots[number]?.sequence ?? 0, 0)
    record.writeUInt16LE(isTooLong ? STATES.empty : state, 4)
    record.writeUInt16LE(content.length & 0xffff, 6)
    record.set(content, RECORD_HEADER_BYTES)
    writeSync(this.#fd, record, 0, Math.min(record.length, RECORD_BYTES), number * RECORD_BYTES)
  }

  #read(number: number): Slot {
    const record = Buffer.alloc(RECORD_BYTES)
    readSync(this.#fd, record, 0, RECORD_BYTES, number * RECORD_BYTES)
    const [sequence, state] = [record.readUInt32LE(0), record.readUInt16LE(4)]
    const end = RECORD_HEADER_BYTES + record.readUInt16LE(6)
    const content = record.subarray(RECORD_HEADER_BYTES, end)
    return {
      sequence,
      answer: state === STATES.answer ? Promise.resolve([content]) : undefined,
      intent: state === STATES.intent ? { evidence: content, isAnswerOfProcess: true } : undefined,
    }
  }
}

function outOfOrder(what: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Request out of order: ${what}`)
}
