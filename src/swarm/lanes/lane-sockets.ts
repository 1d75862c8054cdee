// A lane: the sockets of one thread. It reads, cuts the stream into messages, writes payload into slots and
// sends what it is told to; every decision is the network thread's. Invariant: nothing here waits for
// another thread, and a connection that tells more than is heard is not read from.
import type { TlsMaterial } from '../../pki/pki.ts'
import { createPeerContext } from '../connection/tls-socket.ts'
import { BlockTable, type BlockTableShare } from '../pieces/block-table.ts'
import { type IntakeSlots } from '../connection/intake.ts'
import { BatchWriter } from './lane-batch.ts'
import { LaneLink, type LaneTerms } from './lane-link.ts'
import { LanePressure } from './lane-pressure.ts'
import { eventWriter, readCommands, writeMark, type Adoption } from './lane-protocol.ts'
import { uploadBufferBytes, type UploadBuffers } from '../pieces/upload-buffers.ts'

/** `workerData` of a lane. */
export interface LaneData {
  /** 1 or more. */
  readonly lane: number
  readonly uploads: Pick<UploadBuffers, 'memory' | 'bufferBytes'>
  /** undefined: no TLS. */
  readonly tls: LaneTls | undefined
}

export interface LaneTls {
  readonly material: TlsMaterial
  readonly allowsPlain: boolean
}

/** For connections from now on. */
export interface TlsNotice {
  readonly tls: LaneTls
}

/** A slab that payload may be written into, by number; null when it is not used any more. */
export interface SlabNotice {
  readonly slabId: number
  readonly slab: {
    readonly memory: SharedArrayBuffer
    readonly slotBytes: number
    readonly table: BlockTableShare
  } | null
}

/** To a lane: a batch of commands, or a notice that must not wait for one. */
export type LaneMessage = Int32Array | SlabNotice | TlsNotice

/** To a lane: close everything and end. */
export const END_LANE = 'end'

/** Payload amid a message is told of after this time at the latest: rates and snubs hang on it. */
const REPORT_MS = 20

export class LaneSockets {
  readonly #data: LaneData
  readonly #post: (batch: Int32Array<ArrayBuffer>) => void
  readonly #batch = new BatchWriter()
  readonly #pressure = new LanePressure(() => this.#markSoon())
  readonly #links = new Map<number, LaneLink>()
  readonly #slabs = new Map<number, IntakeSlots>()
  readonly #untold = new Set<LaneLink>()
  #tls: LaneTerms | undefined
  #reportTimer: NodeJS.Timeout | undefined
  /** So much of the batch is put down to the connection it came from. */
  #toldWords = 0
  #willPost = false

  constructor(data: LaneData, post: (batch: Int32Array<ArrayBuffer>) => void) {
    this.#data = data
    this.#post = post
    this.#tls = data.tls && termsOf(data.tls)
  }

  onMessage(message: LaneMessage): void {
    if (!(message instanceof Int32Array)) return this.#note(message)
    readCommands(message, {
      adopt: (id, adoption) => this.#adopt(id, adoption),
      heard: () => this.#pressure.heard(),
      find: (id) => this.#links.get(id),
    })
  }

  /** Closes all connections, of which nothing more is told. */
  close(): void {
    for (const link of this.#links.values()) link.close()
    clearTimeout(this.#reportTimer)
    this.#willPost = true
  }

  #note(notice: SlabNotice | TlsNotice): void {
    if ('tls' in notice) this.#tls = termsOf(notice.tls)
    else this.#noteSlab(notice)
  }

  #noteSlab({ slabId, slab }: SlabNotice): void {
    if (slab === null) {
      this.#slabs.delete(slabId)
      return
    }
    const { memory, slotBytes } = slab
    const views = Array.from(
      { length: memory.byteLength / slotBytes },
      (_, slot) => new Uint8Array(memory, slot * slotBytes, slotBytes),
    )
    this.#slabs.set(slabId, {
      table: new BlockTable(slab.table, this.#data.lane),
      view: (slot) => views[slot] ?? new Uint8Array(),
    })
  }

  #adopt(id: number, adoption: Adoption): void {
    const link = new LaneLink(adoption, {
      events: eventWriter(this.#batch, id),
      tls: this.#tls,
      slab: (slabId) => this.#slabs.get(slabId),
      buffer: (index) => ({ index, bytes: uploadBufferBytes(this.#data.uploads, index) }),
      onUntold: () => this.#reportSoon(link),
      onTold: ({ canWait } = { canWait: false }) => {
        this.#told(link)
        if (!canWait) this.#postSoon()
      },
      onEnded: () => {
        this.#links.delete(id)
        this.#untold.delete(link)
        this.#pressure.forget(link)
      },
    })
    this.#links.set(id, link)
  }

  #reportSoon(link: LaneLink): void {
    this.#untold.add(link)
    this.#reportTimer ??= setTimeout(() => {
      this.#reportTimer = undefined
      for (const late of this.#untold) late.report()
      this.#untold.clear()
    }, REPORT_MS)
  }

  /** A connection has just put an event into the batch. */
  #told(link: LaneLink): void {
    const words = this.#batch.length - this.#toldWords
    this.#toldWords = this.#batch.length
    this.#pressure.add(link, words)
  }

  #markSoon(): void {
    writeMark(this.#batch)
    this.#postSoon()
  }

  /** One message for all that happens in one turn of the event loop. */
  #postSoon(): void {
    if (this.#willPost) return
    this.#willPost = true
    setImmediate(() => {
      this.#willPost = false
      this.#toldWords = 0
      this.#post(this.#batch.take())
    })
  }
}

function termsOf({ material, allowsPlain }: LaneTls): LaneTerms {
  const context = createPeerContext(material)
  return { context: () => context, allowsPlain }
}
