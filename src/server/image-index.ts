// The list of images for people with a browser. Pure; every text is escaped.
import { formatSize } from '../core/core.ts'

/** One image as the server tells about it; also the elements of GET /images. */
export interface ImageStatus {
  readonly name: string
  readonly version: string
  readonly infoHash: string
  readonly sizeBytes: number
  readonly pieceLengthBytes: number
  /** Path of the torrent on this server. */
  readonly torrent: string
  /** Peers in its swarm, this server not counted. */
  readonly peerCount: number
  readonly uploadedBytes: number
}

export function renderIndex(images: readonly ImageStatus[]): string {
  const rows = images.map(
    (image) =>
      `<tr><td>${escapeHtml(image.name)}<td><a href="${escapeHtml(image.torrent)}">${escapeHtml(
        image.version,
      )}</a><td>${formatSize(image.sizeBytes)}<td>${image.peerCount}<td>${formatSize(
        image.uploadedBytes,
      )}<td><code>${escapeHtml(image.infoHash)}</code>`,
  )
  const empty = '<tr><td colspan="6">No image yet: si-getimage makes one'
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>SwarmImager</title>
<style>body{font:16px sans-serif;margin:2em}td,th{text-align:left;padding:.2em 1em .2em 0}</style>
<h1>Images</h1>
<table>
<tr><th>Image<th>Version<th>Size<th>Peers<th>Sent<th>Info hash
${rows.length === 0 ? empty : rows.join('\n')}
</table>
</html>
`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
