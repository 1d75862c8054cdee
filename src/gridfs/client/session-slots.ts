// The slots of a session over the lives of several processes: which use of which slot belongs to which request
// of the kernel. Invariant: a slot is used anew only when the server has answered and the kernel, too; until
// then the same request comes with the same slot and sequence, and the server gives the same answer. Whoever
// calls more than once for one request of the kernel may name that request only once: slots are few.
import { type Caller } from '../fuse/file-system.ts'
import { operationOf } from '../wire/message.ts'
import { type WireName } from '../wire/operations.ts'
import { SlotPool } from './slot-pool.ts'
import { type SlotRecord, type SlotRecords } from './slot-records.ts'
import { type Volume } from './volume.ts'

/** What a session leaves to the next process. */
export interface KeptSession {
  readonly id: Uint8Array
  readonly records: SlotRecords
  /** What earlier processes have used slots for. */
  readonly used: readonly SlotRecord[]
  /** Requests that the kernel has asked earlier processes and asks again, by number. */
  readonly resent: ReadonlySet<bigint>
  /** A write that earlier processes have promised was sent again. */
  readonly onOwed: (write: OwedWrite) => void
  /** The server is there, and carries out what is called by `call` before anything else. */
  readonly meet: (verifier: Uint8Array, call: Volume['call']) => Promise<void>
}

export interface OwedWrite {
  readonly handle: number
  readonly sizeBytes: number
  readonly written: Promise<unknown>
}

/** A slot for one request. */
export interface SlotOrder {
  readonly number: number
  readonly sequence: number
  /** By which the server knows the request already. */
  readonly id: number | undefined
}

export interface UsedSlot extends SlotOrder {
  /** Before the request is sent, as `id`. */
  sent(id: number, frame: readonly Uint8Array[]): void
  /** The server has answered. */
  settled(): void
}

export interface SlotRequest {
  readonly name: WireName
  readonly handle: number
  readonly caller: Caller | undefined
  readonly signal: AbortSignal | undefined
  /** The kernel is answered ahead of the server. */
  readonly isAhead: boolean
}

export class SessionSlots {
  readonly #kept: KeptSession | undefined
  readonly #pool: SlotPool
  /** What is asked again, by request of the kernel and operation. */
  readonly #again = new Map<string, SlotRecord>()

  constructor(kept: KeptSession | undefined) {
    this.#kept = kept
    const used = (kept?.used ?? []).map((record) => {
      const isUnanswered = record.owed !== undefined || kept?.resent.has(record.unique) === true
      if (isUnanswered) this.#again.set(keyOf(record.unique, record.operation), record)
      return { ...record, isUnanswered }
    })
    this.#pool = new SlotPool(used)
  }

  /** The last id that an earlier process has used. */
  get lastId(): number {
    return this.#kept?.used.at(-1)?.id ?? 0
  }

  /** What must be sent before anything else, oldest first. */
  owed(): readonly (SlotRecord & { readonly slot: UsedSlot })[] {
    const records = (this.#kept?.used ?? []).filter(({ owed }) => owed !== undefined)
    return records.map((record) => {
      const { number, sequence, id } = record
      const taken = this.#pool.retake(number)
      const settled = () => {
        this.#kept?.records.settle(number)
        taken.giveBack()
      }
      return { ...record, slot: { number, sequence, id, sent: () => {}, settled } }
    })
  }

  /** Whether `take` waits for none. */
  get hasFree(): boolean {
    return this.#pool.hasFree
  }

  /** The server has so many. */
  open(count: number): void {
    this.#pool.open(count)
  }

  async take(request: SlotRequest): Promise<UsedSlot> {
    const { caller, isAhead, signal } = request
    const { code } = operationOf(request.name)
    const key = keyOf(caller?.unique ?? 0n, code)
    const record = caller?.isResent === true ? this.#again.get(key) : undefined
    this.#again.delete(key)
    const taken =
      record === undefined ? await this.#pool.take(signal) : this.#pool.retake(record.number)
    const { number, sequence, giveBack } = taken
    const isAskedAgain = caller !== undefined && !isAhead && this.#kept !== undefined
    let missing = isAskedAgain ? 2 : 1
    const answered = () => {
      missing -= 1
      if (missing === 0) giveBack()
    }
    if (isAskedAgain) caller.onAnswered(answered)
    const { handle } = request
    return {
      ...{ number, sequence, id: record?.id },
      sent: (id, frame) => {
        const use = { sequence, id, operation: code, unique: caller?.unique ?? 0n, handle }
        this.#kept?.records.use(number, use, isAhead ? frame : undefined)
      },
      settled: () => {
        if (isAhead) this.#kept?.records.settle(number)
        answered()
      },
    }
  }
}

function keyOf(unique: bigint, operation: number): string {
  return `${unique} ${operation}`
}
