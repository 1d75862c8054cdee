// All foreign clients that the tests know.
import { aria2 } from './aria2.ts'
import { libtorrent } from './libtorrent.ts'
import { rtorrent } from './rtorrent.ts'
import { type TorrentClient } from './torrent-client.ts'
import { transmission } from './transmission.ts'
import { webtorrent } from './webtorrent.ts'

export const FOREIGN_CLIENTS: readonly TorrentClient[] = [
  aria2,
  libtorrent,
  rtorrent,
  transmission,
  webtorrent,
]
