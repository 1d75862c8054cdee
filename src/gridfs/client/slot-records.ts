// What the slots of a session were last used for, in a file without a name that the next process inherits:
// it asks again with the slot, number and id that the server knows. A request of the kernel comes again by
// itself; a write that was answered ahead does not, so its frame is kept here until the server has answered.
//
// Each slot has a page and room for the data of a write. The page is written by one call that touches no
// other page, which the end of a process does not cut in two; it says what of the data is meant.
import { fstatSync, readSync, writeSync } from 'node:fs'
import { MAXIMUM_DATA_BYTES } from '../wire/operations.ts'

/** What a slot was used for last. */
export interface SlotUse {
  readonly sequence: number
  /** Of the frame. */
  readonly id: number
  readonly operation: number
  /** Of the kernel's request; 0n for none. */
  readonly unique: bigint
  /** The handle in the request; 0 for none. */
  readonly handle: number
}

export interface SlotRecord extends SlotUse {
  readonly number: number
  /** The frame of what was promised to be carried out, with its data. */
  readonly owed: readonly Buffer[] | undefined
  /** Which use was before which. */
  readonly order: number
}

const PAGE_BYTES = 4096
const SLOT_BYTES = PAGE_BYTES + MAXIMUM_DATA_BYTES
const HEAD_BYTES = 56

export class SlotRecords {
  readonly #fd: number
  readonly #page = Buffer.alloc(PAGE_BYTES)
  #order = 0

  /** The descriptor stays the caller's. */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** Of earlier processes, in the order of use. To be called once, first. */
  read(): readonly SlotRecord[] {
    const count = Math.ceil(fstatSync(this.#fd).size / SLOT_BYTES)
    const all = Array.from({ length: count }, (_, number) => this.#read(number))
    const used = all
      .filter(({ sequence }) => sequence > 0)
      .toSorted((one, other) => one.order - other.order)
    this.#order = used.at(-1)?.order ?? 0
    return used
  }

  /** Before a request is sent. With `owed`, its frame: to be sent by the next process if need be. */
  use(slot: number, use: SlotUse, owed: readonly Uint8Array[] = []): void {
    const [start, ...data] = owed
    let dataBytes = 0
    for (const part of data) {
      this.#write(part, slot * SLOT_BYTES + PAGE_BYTES + dataBytes)
      dataBytes += part.length
    }
    const page = this.#page
    this.#order += 1
    page.writeUInt32LE(use.sequence, 0)
    page.writeUInt32LE(use.id, 4)
    page.writeBigUInt64LE(use.unique, 8)
    page.writeBigUInt64LE(BigInt(this.#order), 16)
    page.writeBigUInt64LE(BigInt(use.handle), 24)
    page.writeUInt32LE(use.operation, 32)
    page.writeUInt32LE(start?.length ?? 0, 36)
    page.writeUInt32LE(dataBytes, 40)
    if (start !== undefined) page.set(start, HEAD_BYTES)
    this.#write(page.subarray(0, HEAD_BYTES + (start?.length ?? 0)), slot * SLOT_BYTES)
  }

  /** What was owed is done. */
  settle(slot: number): void {
    this.#write(NOTHING_OWED, slot * SLOT_BYTES + 36)
  }

  #write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done)
    }
  }

  #read(number: number): SlotRecord {
    const page = Buffer.alloc(PAGE_BYTES)
    readSync(this.#fd, page, 0, PAGE_BYTES, number * SLOT_BYTES)
    const startBytes = page.readUInt32LE(36)
    const data = Buffer.alloc(startBytes === 0 ? 0 : page.readUInt32LE(40))
    if (data.length > 0) {
      readSync(this.#fd, data, 0, data.length, number * SLOT_BYTES + PAGE_BYTES)
    }
    return {
      number,
      ...{ sequence: page.readUInt32LE(0), id: page.readUInt32LE(4) },
      ...{ unique: page.readBigUInt64LE(8), order: Number(page.readBigUInt64LE(16)) },
      ...{ handle: Number(page.readBigUInt64LE(24)), operation: page.readUInt32LE(32) },
      owed:
        startBytes === 0 ? undefined : [page.subarray(HEAD_BYTES, HEAD_BYTES + startBytes), data],
    }
  }
}

const NOTHING_OWED = Buffer.alloc(4)
