// Payload that has a length and no content: one array of zeros in all sizes, a slab, a store and upload
// buffers over nothing. Slots and their number are the real slab's.
import { type PiecePool, type PieceStore, type Slab, createSlab } from '../../src/swarm/swarm.ts'
import { BlockTable, createBlockTable } from '../../src/swarm/pieces/block-table.ts'
import { blockCount } from '../../src/torrent/torrent.ts'
import { type UploadBuffers } from '../../src/swarm/pieces/upload-buffers.ts'
import { type VirtualTime } from './virtual-time.ts'

const ZEROS = new Uint8Array(16 * 2 ** 20)
const views = new Map<number, Uint8Array>()

/** So many bytes of zero; shared, not to be written. */
export function zeros(lengthBytes: number): Uint8Array {
  let view = views.get(lengthBytes)
  if (view === undefined) {
    view = ZEROS.subarray(0, lengthBytes)
    views.set(lengthBytes, view)
  }
  return view
}

/** Takes payload in and keeps none of it. */
class Nowhere extends Uint8Array {
  override set(): void {}
}

/** The slots of a download without their memory. */
function createHollowSlab(slots: number, blocksPerSlot: number): Slab {
  const slab = createSlab({ slotBytes: 0, slots })
  const table = new BlockTable(createBlockTable(slots, blocksPerSlot), 0)
  const nowhere = new Nowhere()
  return {
    slotBytes: 0,
    slots,
    table,
    memory: slab.memory,
    get freeSlots() {
      return slab.freeSlots
    },
    get peakUsedSlots() {
      return slab.peakUsedSlots
    },
    acquire() {
      const place = slab.acquire()
      return place === undefined ? undefined : table.open(place.slot)
    },
    release: (slot) => table.seal(slot) && slab.release(slot),
    view: () => nowhere,
    onRelease: (listener) => slab.onRelease(listener),
  }
}

/** Finds every piece good, after so long; as many at once as there are slots. */
export function createHollowPool(
  time: VirtualTime,
  options: {
    readonly slots: number
    readonly pieceLengthBytes: number
    readonly checkMs: number
  },
): PiecePool {
  const unused = () => Promise.reject(new Error('The simulation runs no tasks'))
  return {
    slab: createHollowSlab(options.slots, blockCount(options.pieceLengthBytes)),
    checkPiece: () =>
      new Promise((resolve) => {
        time.schedule(options.checkMs, () => resolve('ok'))
      }),
    runTask: unused,
    broadcast: unused,
    close: () => Promise.resolve(),
  }
}

/** Reads at once. */
export function createHollowStore(time: VirtualTime): PieceStore {
  return {
    locate() {
      time.expectPromises()
      return Promise.resolve(undefined)
    },
    read() {
      time.expectPromises()
      return Promise.resolve()
    },
    close: () => Promise.resolve(),
  }
}

/** As many buffers as are asked for: two per unchoked peer are fewer than a node has. */
export function createHollowBuffers(time: VirtualTime, bufferBytes: number): UploadBuffers {
  const buffer = { index: 0, bytes: zeros(bufferBytes) }
  return {
    bufferBytes,
    memory: new SharedArrayBuffer(0),
    acquire() {
      time.expectPromises()
      return Promise.resolve(buffer)
    },
    lend: () => {},
    release: () => {},
  }
}
