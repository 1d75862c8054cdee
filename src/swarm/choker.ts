// Whom we send to. Pure. Everybody who is interested while there are places; beyond that peers take turns
// of one piece, who waited longest first: pieces leave one after the other to many peers, which can all
// give them on, and nobody is starved, whatever it gives itself.
import { type PeerKey } from './begun-piece.ts'
import { type Turn } from './turn.ts'

export interface ChokePeer {
  readonly key: PeerKey
  readonly isInterested: boolean
  readonly isUnchoked: boolean
  readonly turn: Pick<Turn, 'changedMs' | 'isOver' | 'isEnding'>
}

export interface ChokeOptions {
  /** Peers served at once; at least 1. */
  readonly places: number
  readonly nowMs: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Who is unchoked from now on. To be called when interest has changed or a turn is over, and regularly. */
export function chooseUnchoked(
  peers: readonly ChokePeer[],
  { places, nowMs, random }: ChokeOptions,
): ReadonlySet<PeerKey> {
  const isEnding = (peer: ChokePeer) => !peer.isUnchoked && peer.turn.isEnding(nowMs)
  const waiting = peers.filter((peer) => peer.isInterested && !peer.isUnchoked && !isEnding(peer))
  const isStaying = (peer: ChokePeer) =>
    peer.isUnchoked && peer.isInterested && (waiting.length === 0 || !peer.turn.isOver(nowMs))
  const unchoked = new Set(peers.filter(isStaying).map(({ key }) => key))
  const free = places - unchoked.size - peers.filter(isEnding).length
  const next = waiting
    .map((peer) => ({ peer, rank: random() }))
    .sort((a, b) => a.peer.turn.changedMs - b.peer.turn.changedMs || a.rank - b.rank)
    .slice(0, Math.max(0, free))
  for (const { peer } of next) unchoked.add(peer.key)
  return unchoked
}
