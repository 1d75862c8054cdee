// Whom we send to. Pure. On a LAN where all want the same image at the same time nearly everybody is
// worth serving; the bound keeps pieces arriving whole soon rather than all at once late. A node
// prefers those that give to it; a server prefers those that it gave least, so that each piece leaves
// it few times and travels on from there. One more place goes round by chance, for newcomers.
import { type Role } from './wire/extension.ts'
import { type PeerKey } from './begun-piece.ts'

export interface ChokePeer {
  readonly key: PeerKey
  readonly isInterested: boolean
  readonly isUnchoked: boolean
  /** What it sent us lately. */
  readonly downloadBytesPerSecond: number
  /** All that we ever sent it on this connection. */
  readonly uploadedBytes: number
}

export interface ChokeOptions {
  readonly role: Role
  /** Places by merit; at least 1. */
  readonly regularSlots: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export interface ChokeDecision {
  readonly unchoked: ReadonlySet<PeerKey>
  /** Holds the place given by chance; to be handed in at the next round. */
  readonly optimistic: PeerKey | undefined
}

/**
 * One round. `optimistic` is the holder of the last round, or undefined to draw anew. Bytes that a peer
 * has already are only told apart by more than `HYSTERESIS_BYTES`, so that nobody is choked for a trifle.
 */
export function chooseUnchoked(
  peers: readonly ChokePeer[],
  optimistic: PeerKey | undefined,
  options: ChokeOptions,
): ChokeDecision {
  const interested = peers.filter((peer) => peer.isInterested)
  if (interested.length <= options.regularSlots + 1) {
    return { unchoked: new Set(interested.map((peer) => peer.key)), optimistic: undefined }
  }
  const merit = options.role === 'server' ? leastServed : mostGiving
  const ranked = interested.toSorted(
    (a, b) => merit(a, b) || Number(b.isUnchoked) - Number(a.isUnchoked) || a.key - b.key,
  )
  const unchoked = new Set(ranked.slice(0, options.regularSlots).map((peer) => peer.key))
  const others = ranked.slice(options.regularSlots)
  const kept = others.find((peer) => peer.key === optimistic)
  const drawn = kept ?? others[Math.floor(options.random() * others.length)]
  if (drawn !== undefined) unchoked.add(drawn.key)
  return { unchoked, optimistic: drawn?.key }
}

const HYSTERESIS_BYTES = 32 * 2 ** 20

const RATE_STEP_BYTES_PER_SECOND = 2 ** 20

function leastServed(a: ChokePeer, b: ChokePeer): number {
  return step(a.uploadedBytes, HYSTERESIS_BYTES) - step(b.uploadedBytes, HYSTERESIS_BYTES)
}

function mostGiving(a: ChokePeer, b: ChokePeer): number {
  const [rateOfA, rateOfB] = [a.downloadBytesPerSecond, b.downloadBytesPerSecond]
  return step(rateOfB, RATE_STEP_BYTES_PER_SECOND) - step(rateOfA, RATE_STEP_BYTES_PER_SECOND)
}

function step(value: number, size: number): number {
  return Math.floor(value / size)
}
