// The page with the list of images.
import assert from 'node:assert/strict'
import test from 'node:test'
import { renderIndex } from '../../../src/server/image-index.ts'

const IMAGE = {
  ...{ name: 'web', version: '1', infoHash: 'ab'.repeat(20), sizeBytes: 3 * 2 ** 20 },
  ...{ pieceLengthBytes: 2 ** 20, torrent: '/images/web/1/img.torrent' },
  ...{ peerCount: 2, uploadedBytes: 1536 },
}

test('renderIndex() lists images with their torrents', () => {
  const page = renderIndex([IMAGE])
  assert.match(page, /<a href="\/images\/web\/1\/img\.torrent">1<\/a><td>3\.0 MiB<td>2<td>1\.5 KiB/)
})

test('renderIndex() says how to make the first image', () => {
  assert.match(renderIndex([]), /No image yet: si-getimage/)
})

test('renderIndex() escapes every text', () => {
  const page = renderIndex([{ ...IMAGE, name: '<script>"\'&', torrent: '"><b>' }])
  assert.doesNotMatch(page, /<script>|<b>/)
  assert.match(page, /&#60;script&#62;&#34;&#39;&#38;/)
})
