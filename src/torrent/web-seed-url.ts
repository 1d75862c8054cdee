// Where on a web server a file of a torrent is. Pure. Spec: BEP 19.
import { SiError } from '../core/core.ts'
import { type Metainfo, type TorrentFile } from './metainfo.ts'

/**
 * URL of a web seed and a file → URL of the file, each name percent-encoded, a query kept. A URL that ends
 * in `/` is a folder of torrents: the torrent's name is appended to it. Any other is the torrent
 * itself: the single file, or the folder of the files.
 */
export function fileUrl(
  webSeed: string,
  metainfo: Pick<Metainfo, 'name' | 'isSingleFile'>,
  file: Pick<TorrentFile, 'path'>,
): URL {
  const url = parseWebSeed(webSeed)
  const isFolderOfTorrents = url.pathname.endsWith('/')
  const names = [
    ...(isFolderOfTorrents ? [metainfo.name] : []),
    ...(metainfo.isSingleFile ? [] : file.path),
  ]
  const base = isFolderOfTorrents ? url.pathname.slice(0, -1) : url.pathname
  url.pathname = [base, ...names.map(encodeURIComponent)].join('/')
  url.hash = ''
  return url
}

/** Text → URL. Throws ERR_SI_USAGE unless it is one of http or https. */
export function parseWebSeed(text: string): URL {
  const url = URL.parse(text)
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new SiError('ERR_SI_USAGE', `Cannot use "${text}" as a web seed: it is no http URL`, {
    hint: 'Write a URL such as http://server/images/golden01/20260131T120000Z',
  })
}
