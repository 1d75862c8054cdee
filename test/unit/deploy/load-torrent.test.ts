import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { constants, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { mknod } from '../../../src/host/host.ts'
import { loadTorrent } from '../../../src/deploy/load-torrent.ts'
import { encodeInfo, encodeMetainfo } from '../../../src/torrent/torrent.ts'

const directory = mkdtempSync(join(tmpdir(), 'si-torrent-'))
after(() => rmSync(directory, { recursive: true }))
const infoBytes = encodeInfo({
  ...{ name: 'sample', pieceLengthBytes: 16384, pieceHashes: new Uint8Array(20) },
  files: [{ path: ['a'], lengthBytes: 5 }],
})
const bytes = encodeMetainfo({ infoBytes })

test('loadTorrent() reads a path', async () => {
  const path = join(directory, 'good.torrent')
  writeFileSync(path, bytes)
  assert.equal((await loadTorrent(path)).name, 'sample')
})

test('loadTorrent() tells a missing, a truncated, a huge and a wrong file apart', async () => {
  const missing = join(directory, 'none')
  await assert.rejects(loadTorrent(missing), {
    code: 'ERR_SI_TORRENT_UNAVAILABLE',
    message: new RegExp(`^Cannot read torrent ${missing}: ENOENT`),
  })
  await assert.rejects(loadTorrent(directory), { message: /: it is no file$/ })
  const bad = join(directory, 'bad')
  writeFileSync(bad, bytes.subarray(0, bytes.length - 9))
  await assert.rejects(loadTorrent(bad), { code: 'ERR_SI_TORRENT_FORMAT', message: /bad/ })
  truncateSync(bad, 2 ** 30)
  await assert.rejects(loadTorrent(bad), {
    code: 'ERR_SI_TORRENT_UNAVAILABLE',
    message: /too large/,
  })
})

test('loadTorrent() does not wait for a writer of a named pipe', { timeout: 10_000 }, async () => {
  const pipe = join(directory, 'pipe')
  mknod(pipe, constants.S_IFIFO | 0o600, 0, 0)
  await assert.rejects(loadTorrent(pipe), { message: /: it is no file$/ })
})

test('loadTorrent() fetches over HTTP, and says what the server answered', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/good') response.end(bytes)
    else if (request.url === '/huge') {
      const more = () => {
        while (response.write(Buffer.alloc(2 ** 20)));
      }
      response.on('drain', more)
      more()
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    assert.equal((await loadTorrent(`${base}/good`)).name, 'sample')
    await assert.rejects(loadTorrent(`${base}/none`), {
      code: 'ERR_SI_TORRENT_UNAVAILABLE',
      message: `Cannot read torrent ${base}/none: the server answered 404 Not Found`,
    })
    await assert.rejects(loadTorrent(`${base}/huge`), { message: /too large/ })
    const signal = AbortSignal.abort()
    await assert.rejects(loadTorrent(`${base}/good`, { signal }), { code: 'ERR_SI_ABORTED' })
  } finally {
    server.closeAllConnections()
    server.close()
  }
  await assert.rejects(loadTorrent(`${base}/good`), { code: 'ERR_SI_TORRENT_UNAVAILABLE' })
})
