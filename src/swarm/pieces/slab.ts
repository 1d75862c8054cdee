// The memory of a download: one SharedArrayBuffer cut into slots, each large enough for a piece.
// Invariant: a slot has one owner at a time, and nothing else holds payload, so a download needs no
// more memory than its slab whatever the image, the disk or the peers do.
import { SiError } from '../../core/core.ts'
import { BLOCK_BYTES } from '../../torrent/torrent.ts'
import { BlockTable, createBlockTable, type SlotPlace } from './block-table.ts'

export interface Slab {
  readonly slotBytes: number
  readonly slots: number
  /** The memory itself; slot n begins at n x slotBytes. Shared with the piece workers. */
  readonly memory: SharedArrayBuffer
  /** Who may write which block of a slot. */
  readonly table: BlockTable
  readonly freeSlots: number
  /** The largest number of slots that were ever in use at once. */
  readonly peakUsedSlots: number
  /** A slot that now belongs to the caller, or undefined when all are in use. */
  acquire(): SlotPlace | undefined
  /**
   * Gives a slot back. False when a lane is just writing into it: it stays the caller's, who tries again
   * soon; never when every block was received. Throws ERR_SI_INTERNAL when the slot was free.
   */
  release(slot: number): boolean
  /** The bytes of a slot; valid to touch only between acquire and release. */
  view(slot: number): Uint8Array
  /** Calls back whenever a slot became free; the returned function ends that. */
  onRelease(listener: () => void): () => void
}

/** `slotBytes` is the piece length of the torrent; `slots` at least 1. */
export function createSlab(options: { readonly slotBytes: number; readonly slots: number }): Slab {
  const { slotBytes, slots } = options
  const memory = new SharedArrayBuffer(slotBytes * slots)
  const blocksPerSlot = Math.max(1, Math.ceil(slotBytes / BLOCK_BYTES))
  const table = new BlockTable(createBlockTable(slots, blocksPerSlot), 0)
  const views = Array.from(
    { length: slots },
    (_, slot) => new Uint8Array(memory, slot * slotBytes, slotBytes),
  )
  // The slot freed last is taken first: its memory is still in the caches.
  const free = Array.from({ length: slots }, (_, index) => slots - 1 - index)
  const isFree = new Array<boolean>(slots).fill(true)
  const listeners = new Set<() => void>()
  let peakUsedSlots = 0
  return {
    slotBytes,
    slots,
    memory,
    table,
    get freeSlots() {
      return free.length
    },
    get peakUsedSlots() {
      return peakUsedSlots
    },
    acquire() {
      const slot = free.pop()
      if (slot === undefined) return undefined
      isFree[slot] = false
      peakUsedSlots = Math.max(peakUsedSlots, slots - free.length)
      return table.open(slot)
    },
    release(slot) {
      if (isFree[slot] !== false) {
        throw new SiError('ERR_SI_INTERNAL', `Slot ${slot} of the slab was released twice`)
      }
      if (!table.seal(slot)) return false
      isFree[slot] = true
      free.push(slot)
      for (const listener of listeners) listener()
      return true
    },
    view(slot) {
      const view = views[slot]
      if (view === undefined) throw new SiError('ERR_SI_INTERNAL', `The slab has no slot ${slot}`)
      return view
    },
    onRelease(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
