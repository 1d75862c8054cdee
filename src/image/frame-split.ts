// Cuts a chunk in two so that the first frame fills what is left of a piece. Only where content
// compresses badly: a cut here depends on the position, so it costs reuse between versions.
import { encodeFrame } from './frame.ts'
import { SKIPPABLE_HEADER_BYTES } from './pack-layout.ts'
import { TAR_BLOCK_BYTES } from './tar-header.ts'

/** After this many tries what fits best is taken. */
const ATTEMPTS = 4

/** What remains is at most this share of the room, or another try is worth its time. */
const GOOD_REST_SHARE = 1 / 64

export interface SplitFrame {
  readonly plainBytes: number
  readonly frame: Buffer
}

/** True when a frame of this size leaves nothing, or enough for a skippable frame. */
export function frameFits(packedBytes: number, roomBytes: number): boolean {
  return packedBytes === roomBytes || packedBytes + SKIPPABLE_HEADER_BYTES <= roomBytes
}

/**
 * The frame of a beginning of `plain` (whole tar blocks, not all of it) that fits into `roomBytes`,
 * or undefined when none was found. `packedBytes` is the size of the frame of all of `plain`.
 */
export async function splitToFit(
  plain: Uint8Array,
  packedBytes: number,
  options: { readonly roomBytes: number; readonly zstdLevel: number },
): Promise<SplitFrame | undefined> {
  const { roomBytes, zstdLevel } = options
  let best: SplitFrame | undefined
  let tooLong = plain.length
  let guess = toBlocks((plain.length * roomBytes) / packedBytes)
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const shortest = best?.plainBytes ?? 0
    const plainBytes = Math.max(shortest, Math.min(guess, tooLong - TAR_BLOCK_BYTES))
    if (plainBytes <= shortest) break
    const frame = await encodeFrame(plain.subarray(0, plainBytes), zstdLevel)
    if (frameFits(frame.length, roomBytes)) {
      best = { plainBytes, frame }
      if (roomBytes - frame.length <= roomBytes * GOOD_REST_SHARE) break
    } else {
      tooLong = plainBytes
    }
    guess = toBlocks((plainBytes * roomBytes * 0.995) / frame.length)
  }
  return best
}

function toBlocks(bytes: number): number {
  return Math.floor(bytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES
}
