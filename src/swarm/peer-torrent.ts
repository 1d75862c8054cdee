// What a peer needs of the torrent it belongs to, and nothing more: the seam at which peers can move to
// another thread.
import { type Clock } from '../core/core.ts'
import { type Bitfield, type Metainfo } from '../torrent/torrent.ts'
import { type Downloader } from './downloader.ts'
import { type Role } from './wire/extension.ts'
import { type FirstDistribution } from './first-distribution.ts'
import { type PayloadCount } from './connection/intake.ts'
import { type Peer } from './peer.ts'
import { type Picker } from './picker.ts'
import { type RequestPicker } from './requester.ts'
import { type PieceStore } from './pieces/store.ts'
import { type UploadBuffers } from './pieces/upload-buffers.ts'
import { type BlockRange } from './wire/wire.ts'

export interface PeerTorrent {
  readonly metainfo: Metainfo
  readonly role: Role
  readonly listenPort: number
  readonly clock: Clock
  /** What we can serve. */
  readonly have: Bitfield
  readonly picker: Picker
  /** The picker, behind the download limit if there is one. */
  readonly requestPicker: RequestPicker
  readonly downloader: Downloader | null
  /** What was ever wanted. */
  readonly wanted: Bitfield
  /** Steers who is shown what; undefined when everybody is shown everything. */
  readonly distribution: FirstDistribution | undefined
  readonly store: PieceStore
  readonly uploadBuffers: UploadBuffers
  /** Peers that work is shared out over. */
  readonly peerCount: number
  readonly canDownload: boolean
  onDownloaded(peer: Peer, payload: PayloadCount): void
  onUploaded(peer: Peer, bytes: number): void
  onInterestChanged(): void
  /** What it owed may now be asked of others. */
  onPeerGone(): void
  onPeerListens(peer: Peer, port: number): void
  /** False: the torrent is private, its peers are told of by trackers only (BEP 27). */
  readonly exchangesPeers: boolean
  /** A message of the peer exchange has come. Throws ERR_SI_PROTOCOL. */
  onPeerExchange(peer: Peer, payload: Uint8Array): void
  onReadError(error: unknown, range: BlockRange): void
}
