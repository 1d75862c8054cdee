// A torrent in the swarm as its callers see it: what they hand in, what they can ask of it.
import { type Bitfield, type Metainfo } from '../torrent/torrent.ts'
import { type PiecePool } from './pieces/piece-pool.ts'
import { type PieceStore } from './pieces/store.ts'

export interface AddTorrent {
  readonly metainfo: Metainfo
  /** Tiers of announce URLs; those in the metainfo are not used by themselves. */
  readonly trackers: readonly (readonly string[])[]
  /** `host:port` of peers that are tried for ever. */
  readonly peers?: readonly string[]
  /** Web servers that have the files; those in the metainfo are not used by themselves. */
  readonly webSeeds?: readonly string[]
  /** Stays the caller's, to be closed after the torrent. */
  readonly store: PieceStore
  /** Pieces that the store can serve now; copied. */
  readonly have: Bitfield
  /** Stays the caller's, to be closed after the torrent. null: nothing is ever downloaded. */
  readonly pool: PiecePool | null
}

export interface PeerStats {
  readonly address: string
  /** Program name as the peer gives it, control characters removed. */
  readonly client: string
  readonly isServer: boolean
  readonly isUnchoked: boolean
  readonly isChokingUs: boolean
  readonly downloadedBytes: number
  readonly uploadedBytes: number
  readonly downloadBytesPerSecond: number
  readonly uploadBytesPerSecond: number
}

export interface TorrentStats {
  /** Payload received, useful or not. */
  readonly downloadedBytes: number
  readonly uploadedBytes: number
  /** Useful payload by the role of the sender. Clients that are not ours count as peers. */
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
  /** Payload received twice, too late, or unasked. Bytes of bad pieces are not in here. */
  readonly wastedBytes: number
  /** Pieces that others can get from us. */
  readonly piecesHave: number
  /** Pieces wanted and not yet written. */
  readonly piecesWanted: number
  readonly badPieces: number
  readonly peers: readonly PeerStats[]
  /** In words for people. */
  readonly trackerStatus: string
  readonly downloadBytesPerSecond: number
  readonly uploadBytesPerSecond: number
}

export interface Torrent {
  /** Adds pieces to the wanted set; nothing else is downloaded. Known ones are ignored. */
  want(pieces: Iterable<number>): void
  /**
   * Resolves when the pool has written all these pieces, which must have been wanted. Rejects with the
   * SiError of a piece worker that failed, with ERR_SI_ABORTED by signal or close().
   */
  received(pieces: Iterable<number>, signal?: AbortSignal): Promise<void>
  /** Called after each piece written; the returned function ends that. */
  onPiece(listener: (pieceIndex: number) => void): () => void
  stats(): TorrentStats
  /** Hangs up, says good-bye to the tracker. The store is not read any more afterwards. Idempotent. */
  close(): Promise<void>
}
