// How much memory a deployment gives to pieces on their way. Pure.

/** A few slots per worker keep it busy. */
const SLAB_BYTES = 32 * 2 ** 20
const MIN_SLOTS = 4
const MAX_SLOTS = 64

/** Slots of the slab of one download, each of a piece's length. */
export function slabSlots(pieceLengthBytes: number): number {
  const slots = Math.floor(SLAB_BYTES / pieceLengthBytes)
  return Math.min(MAX_SLOTS, Math.max(MIN_SLOTS, slots))
}
