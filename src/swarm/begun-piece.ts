// A piece being downloaded, block by block: what is received, what is asked of how many peers, and which
// runs of blocks to ask for next. Pure; belongs to the picker.
import { BLOCK_BYTES, type BlockRun as Run } from '../torrent/torrent.ts'
import { type BlockRange } from './wire/wire.ts'

export { type Run }

/** Identifies a connection for as long as it lives; never used twice. */
export type PeerKey = number

export interface PickingPeer {
  readonly key: PeerKey
  has(pieceIndex: number): boolean
  /** It may have sent wrong bytes: it fetches pieces alone, so that the next lie is proven. */
  readonly isOnParole: boolean
}

export interface BegunPiece {
  readonly index: number
  readonly sizeBytes: number
  /** Per block: requests that are out. */
  readonly requests: Uint8Array
  /** Per block: 1 when received. */
  readonly received: Uint8Array
  freeBlocks: number
  missingBlocks: number
  /** Only this peer may be asked. */
  soleKey: PeerKey | undefined
}

/** The blocks that a range covers; ranges made here always begin at a block. */
export function blocksOf(range: BlockRange): Run {
  const end = Math.ceil((range.offsetBytes + range.lengthBytes) / BLOCK_BYTES)
  return { first: Math.floor(range.offsetBytes / BLOCK_BYTES), end }
}

/** Whether the peer has the piece and may take part in it. */
export function mayAsk(piece: BegunPiece, peer: PickingPeer): boolean {
  const isOpen = piece.soleKey === undefined ? !peer.isOnParole : piece.soleKey === peer.key
  return isOpen && peer.has(piece.index)
}

/** The first blocks that nobody was asked for; there must be some. */
export function firstFreeRun(piece: BegunPiece, maxBytes: number): Run {
  const isFree = (block: number) => piece.requests[block] === 0 && piece.received[block] === 0
  let first = 0
  while (!isFree(first)) first++
  let end = first + 1
  while ((end + 1 - first) * BLOCK_BYTES <= maxBytes && isFree(end)) end++
  return { first, end }
}

/** The last blocks that others owe and this peer was not asked for, all asked of as many peers. */
export function lastOwedRun(
  piece: BegunPiece,
  maxBytes: number,
  isAsked: (block: number) => boolean,
): Run | undefined {
  const isOwed = (block: number) => piece.received[block] === 0 && !isAsked(block)
  let end = piece.requests.length
  while (end > 0 && !isOwed(end - 1)) end--
  if (end === 0) return undefined
  const requests = piece.requests[end - 1]
  let first = end - 1
  while (
    first > 0 &&
    (end - first + 1) * BLOCK_BYTES <= maxBytes &&
    isOwed(first - 1) &&
    piece.requests[first - 1] === requests
  ) {
    first--
  }
  return { first, end }
}
