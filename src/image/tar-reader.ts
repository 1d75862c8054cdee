// Streaming reader of a pax tar: turns headers into manifest entries and walks over file data without
// copying or keeping it. Invariant: `tarOffset` counts every byte pushed, so that offsets in entries
// are offsets in the uncompressed pack. Spec: POSIX.1-2017 pax; GNU tar manual (L, K, sparse 0.0-1.0).
import { asBuffer } from '../core/core.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { applyPaxRecords, createPaxAttributes, type PaxAttributes } from './pax-records.ts'
import { parseSparseMap } from './sparse-map.ts'
import { toEntry, toMember, type TarMember } from './tar-entry.ts'
import {
  isZeroBlock,
  parseTarHeader,
  TAR_BLOCK_BYTES,
  tarError,
  type TarHeader,
} from './tar-header.ts'

/**
 * Bodies that are kept (pax records, long names, sparse maps) must stay small enough for memory. This
 * holds the records of about a million extents, more than a manifest's line does.
 */
const KEPT_BODY_MAX_BYTES = 64 * 1024 * 1024

type State =
  | { readonly kind: 'header' }
  /** The body of an extended header or a long name is being collected. */
  | { readonly kind: 'body'; readonly flag: string; readonly sizeBytes: number }
  /** The first blocks of a member's data, which hold a sparse map, are being collected. */
  | { readonly kind: 'map'; readonly member: TarMember; readonly wantedBytes: number }
  | { readonly kind: 'end' }

/** Where a member lies in the tar: from its first header up to that of the next. */
export interface MemberPlace {
  readonly path: Buffer
  readonly start: number
  readonly end: number
}

export interface TarEvents {
  onEntry(entry: ManifestEntry): void
  /** Something about a member could not be kept; a sentence for people. */
  onNote(text: string): void
  /** Called before `onEntry`, when the headers of a member were read. */
  onMember?(place: MemberPlace): void
}

export class TarReader {
  readonly #events: TarEvents
  #state: State = { kind: 'header' }
  #tarOffset = 0
  #skipBytes = 0
  /** Of the first header of the member whose headers are being read. */
  #memberStart = -1
  #isZeroBefore = false
  #kept: Buffer[] = []
  #keptBytes = 0
  #globalBodies: Buffer[] = []
  #pax: PaxAttributes = createPaxAttributes()

  constructor(events: TarEvents) {
    this.#events = events
  }

  /** Bytes pushed so far. */
  get tarOffset(): number {
    return this.#tarOffset
  }

  /** Where the member begins whose headers are not complete yet; `tarOffset` when there is none. */
  get undecidedFrom(): number {
    return this.#memberStart >= 0 ? this.#memberStart : this.#tarOffset - this.#keptBytes
  }

  /** Takes the next bytes of the stream, cut anywhere; nothing of `bytes` is kept by reference. */
  push(bytes: Uint8Array): void {
    const input = asBuffer(bytes)
    let position = 0
    while (position < input.length) {
      const skipped = Math.min(this.#skipBytes, input.length - position)
      this.#skipBytes -= skipped
      if (this.#state.kind === 'end') position = input.length
      else position += skipped > 0 ? skipped : this.#take(input, position)
    }
    this.#tarOffset += input.length
  }

  /** To be called when the stream ended. Throws ERR_SI_TAR_FORMAT unless the archive is complete. */
  end(): void {
    if (this.#state.kind === 'end') return
    throw tarError(this.#tarOffset, 'stream ends before the end of the archive')
  }

  /** Collects up to what the state needs and acts once it is there; returns the bytes taken. */
  #take(input: Buffer, position: number): number {
    const neededBytes = this.#neededBytes() - this.#keptBytes
    const available = input.length - position
    const at = this.#tarOffset + position
    if (this.#keptBytes === 0 && neededBytes <= available) {
      this.#act(input.subarray(position, position + neededBytes), at + neededBytes)
      return neededBytes
    }
    const taken = Math.min(neededBytes, available)
    this.#kept.push(Buffer.from(input.subarray(position, position + taken)))
    this.#keptBytes += taken
    if (taken === neededBytes) {
      const whole = Buffer.concat(this.#kept)
      this.#kept = []
      this.#keptBytes = 0
      this.#act(whole, at + taken)
    }
    return taken
  }

  #neededBytes(): number {
    const state = this.#state
    if (state.kind === 'body') return padToBlock(state.sizeBytes)
    return state.kind === 'map' ? state.wantedBytes : TAR_BLOCK_BYTES
  }

  /** `end` is the tar offset just behind `bytes`. */
  #act(bytes: Buffer, end: number): void {
    const state = this.#state
    switch (state.kind) {
      case 'header':
        this.#onHeader(bytes, end)
        break
      case 'body':
        this.#state = { kind: 'header' }
        this.#onBody(state.flag, bytes.subarray(0, state.sizeBytes), end)
        break
      case 'map':
        this.#onMap(state.member, bytes, end)
        break
      case 'end':
        break
      default:
        state satisfies never
    }
  }

  #onHeader(block: Buffer, end: number): void {
    if (isZeroBlock(block)) {
      if (this.#isZeroBefore) this.#state = { kind: 'end' }
      this.#isZeroBefore = true
      return
    }
    if (this.#memberStart < 0) this.#memberStart = end - TAR_BLOCK_BYTES
    if (this.#isZeroBefore) throw tarError(end, 'a single block of zeros stands between members')
    const header = parseTarHeader(block, end - TAR_BLOCK_BYTES)
    if ('xgLK'.includes(header.typeFlag)) {
      if (header.sizeBytes < 0 || header.sizeBytes > KEPT_BODY_MAX_BYTES) {
        throw tarError(end, `extended header of ${header.sizeBytes} bytes is too large`)
      }
      this.#state = { kind: 'body', flag: header.typeFlag, sizeBytes: header.sizeBytes }
      if (header.sizeBytes === 0) this.#state = { kind: 'header' }
    } else {
      this.#onMember(header, end)
    }
  }

  #onBody(flag: string, body: Buffer, end: number): void {
    if (flag === 'x') applyPaxRecords(this.#pax, body, end)
    else if (flag === 'L') this.#pax.path = withoutNul(body)
    else if (flag === 'K') this.#pax.linkPath = withoutNul(body)
    else {
      const copy = Buffer.from(body)
      applyPaxRecords(createPaxAttributes(), copy, end)
      this.#globalBodies.push(copy)
    }
  }

  #onMember(header: TarHeader, end: number): void {
    const member = toMember(header, this.#takePax(end), end - TAR_BLOCK_BYTES)
    if (member.hasMapInData) {
      if (member.storedBytes < TAR_BLOCK_BYTES) throw tarError(end, 'sparse map is missing')
      this.#state = { kind: 'map', member, wantedBytes: TAR_BLOCK_BYTES }
      return
    }
    const data = { dataOffset: end, dataBytes: member.storedBytes, mapExtents: null }
    this.#skipBytes = padToBlock(member.storedBytes)
    this.#tellPlace(member, end + this.#skipBytes)
    this.#events.onEntry(toEntry(member, data, this.#events.onNote))
  }

  #tellPlace({ path }: TarMember, end: number): void {
    this.#events.onMember?.({ path, start: this.#memberStart, end })
    this.#memberStart = -1
  }

  /** The attributes for this member: global records first, then its own. */
  #takePax(end: number): PaxAttributes {
    const own = this.#pax
    this.#pax = createPaxAttributes()
    if (this.#globalBodies.length === 0) return own
    const all = createPaxAttributes()
    for (const body of this.#globalBodies) applyPaxRecords(all, body, end)
    return { ...all, ...own, xattrs: new Map([...all.xattrs, ...own.xattrs]) }
  }

  #onMap(member: TarMember, blocks: Buffer, end: number): void {
    const start = end - blocks.length
    const map = parseSparseMap(blocks, start)
    if (map === undefined) {
      this.#lookFurther(member, blocks, end)
      return
    }
    this.#state = { kind: 'header' }
    const dataBytes = member.storedBytes - map.mapBytes
    const data = { dataOffset: start + map.mapBytes, dataBytes, mapExtents: map.extents }
    this.#skipBytes = padToBlock(member.storedBytes) - blocks.length
    this.#tellPlace(member, end + this.#skipBytes)
    this.#events.onEntry(toEntry(member, data, this.#events.onNote))
  }

  /** Asks for twice as many blocks, so that a long map is not parsed once for each of its blocks. */
  #lookFurther(member: TarMember, blocks: Buffer, end: number): void {
    const limitBytes = Math.min(padToBlock(member.storedBytes), KEPT_BODY_MAX_BYTES)
    if (blocks.length >= limitBytes) throw tarError(end, 'sparse map does not end where it should')
    this.#state = { kind: 'map', member, wantedBytes: Math.min(2 * blocks.length, limitBytes) }
    this.#kept = [Buffer.from(blocks)]
    this.#keptBytes = blocks.length
  }
}

function padToBlock(sizeBytes: number): number {
  return Math.ceil(sizeBytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES
}

function withoutNul(body: Buffer): Buffer {
  const zero = body.indexOf(0)
  return Buffer.from(zero === -1 ? body : body.subarray(0, zero))
}
