// Content-defined chunking of a tar stream on its 512-byte blocks: a boundary depends only on the
// bytes near it, so an inserted file moves only the chunks around it. Invariant: the same bytes from
// the start of a chunk give the same end, however the stream is cut into buffers. Spec: FORMAT.md §3.
import { TAR_BLOCK_BYTES } from './tar-header.ts'

/** All three are multiples of 512; minimum <= average <= maximum. */
export interface ChunkingParameters {
  readonly averageBytes: number
  readonly minimumBytes: number
  readonly maximumBytes: number
}

const BLOCK_WORDS = TAR_BLOCK_BYTES / 4

/** Odd 32-bit constants (of xxHash): multiplication loses no information, the xor shifts spread it. */
const LANE_FACTOR = 0x9e3779b1 | 0
const MIX_FACTOR_1 = 0x85ebca77 | 0
const MIX_FACTOR_2 = 0xc2b2ae3d | 0

/** Before this share of the average a boundary is four times rarer than 1/average, after it likelier. */
const NORMAL_SIXTEENTHS = 13
const NORMALISATION = 4

/** Average pieceLength / 16 of plain bytes, a quarter of that at least, four times it at most. */
export function chunkingFor(pieceLengthBytes: number): ChunkingParameters {
  const averageBytes = toBlocks(pieceLengthBytes / 16)
  return {
    averageBytes,
    minimumBytes: toBlocks(averageBytes / 4),
    maximumBytes: 4 * averageBytes,
  }
}

function toBlocks(bytes: number): number {
  return Math.max(TAR_BLOCK_BYTES, Math.floor(bytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES)
}

/**
 * Hash of the 128 little-endian words that begin at `word`: four interleaved polynomials, folded and
 * mixed. A signed 32-bit number.
 */
export function hashBlock(words: Int32Array, word: number): number {
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = word; i < word + BLOCK_WORDS; i += 4) {
    a = (Math.imul(a, LANE_FACTOR) + (words[i] as number)) | 0
    b = (Math.imul(b, LANE_FACTOR) + (words[i + 1] as number)) | 0
    c = (Math.imul(c, LANE_FACTOR) + (words[i + 2] as number)) | 0
    d = (Math.imul(d, LANE_FACTOR) + (words[i + 3] as number)) | 0
  }
  let hash = (Math.imul(a, LANE_FACTOR) + b) | 0
  hash = (Math.imul(hash, LANE_FACTOR) + c) | 0
  hash = (Math.imul(hash, LANE_FACTOR) + d) | 0
  hash = Math.imul(hash ^ (hash >>> 15), MIX_FACTOR_1)
  hash = Math.imul(hash ^ (hash >>> 13), MIX_FACTOR_2)
  return hash ^ (hash >>> 16)
}

/** Finds the chunks of one stream, in order. */
export class Chunker {
  readonly #minimumBlocks: number
  readonly #normalBlocks: number
  readonly #maximumBlocks: number
  readonly #rareThreshold: number
  readonly #likelyThreshold: number
  /** Blocks of the current chunk that are known to hold no boundary; 0 at its start. */
  #scannedBlocks = 0
  #previousHash = 0

  constructor(parameters: ChunkingParameters) {
    const averageBlocks = parameters.averageBytes / TAR_BLOCK_BYTES
    this.#minimumBlocks = parameters.minimumBytes / TAR_BLOCK_BYTES
    this.#maximumBlocks = parameters.maximumBytes / TAR_BLOCK_BYTES
    this.#normalBlocks = Math.floor((averageBlocks * NORMAL_SIXTEENTHS) / 16)
    this.#rareThreshold = Math.floor(2 ** 32 / (averageBlocks * NORMALISATION))
    this.#likelyThreshold = Math.floor((2 ** 32 * NORMALISATION) / averageBlocks)
  }

  /**
   * The bytes of the chunk that begins at word `start`, or 0 when `words` up to `end` does not show
   * its end; then call again with the same start of the chunk (it may have moved) and more words.
   * `start` and `end` are multiples of 128 words.
   */
  next(words: Int32Array, start: number, end: number): number {
    const available = (end - start) / BLOCK_WORDS
    let block = this.#scannedBlocks
    if (block === 0) {
      if (available < this.#minimumBlocks) return 0
      block = this.#minimumBlocks
      this.#previousHash = hashBlock(words, start + (block - 1) * BLOCK_WORDS)
    }
    const limit = Math.min(available, this.#maximumBlocks)
    let previous = this.#previousHash
    for (; block < limit; block++) {
      const hash = hashBlock(words, start + block * BLOCK_WORDS)
      const threshold = block < this.#normalBlocks ? this.#rareThreshold : this.#likelyThreshold
      // Equal neighbours never part: a run of zeros gives chunks of the maximum length.
      if (hash >>> 0 < threshold && hash !== previous) break
      previous = hash
    }
    this.#previousHash = previous
    this.#scannedBlocks = block
    if (block === available && block < this.#maximumBlocks) return 0
    this.#scannedBlocks = 0
    return block * TAR_BLOCK_BYTES
  }
}
