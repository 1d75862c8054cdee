// The store over files, bare and behind a limit: the contract, pads, and files that do not fit their torrent.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSiError, systemClock } from '../../src/core/core.ts'
import { paceReads } from '../../src/swarm/pieces/paced-store.ts'
import { openFileStore, type PieceStore } from '../../src/swarm/swarm.ts'
import { createTokenBucket, type TokenBucket } from '../../src/throttle/throttle.ts'
import { encodeInfo, encodeMetainfo, parseMetainfo } from '../../src/torrent/torrent.ts'
import { noise } from '../integration/swarm-lab.ts'
import { kernelTellsCached } from '../lab/page-cache.ts'
import { contentOf, describePieceStore } from './piece-store.ts'

const PIECE = 32768
const manifest = noise(1000, 1)
const pack = noise(100_000, 2)
const content = Buffer.concat([manifest, Buffer.alloc(PIECE - 1000), pack])

async function image() {
  const directory = await mkdtemp(join(tmpdir(), 'si-store-'))
  await mkdir(join(directory, 'sub'))
  await writeFile(join(directory, 'manifest'), manifest)
  await writeFile(join(directory, 'sub', 'pack'), pack)
  const infoBytes = encodeInfo({
    ...{ name: 'image', pieceLengthBytes: PIECE },
    files: [
      { path: ['manifest'], lengthBytes: 1000 },
      { path: ['.pad', '1'], lengthBytes: PIECE - 1000, isPad: true },
      { path: ['sub', 'pack'], lengthBytes: 100_000 },
    ],
    pieceHashes: Buffer.alloc(20 * Math.ceil(content.length / PIECE)),
  })
  return {
    directory,
    metainfo: parseMetainfo(encodeMetainfo({ infoBytes })),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

describePieceStore('openFileStore()', async () => {
  const files = await image()
  const store = await openFileStore(files.metainfo, files.directory)
  return {
    ...{ store, content, metainfo: files.metainfo },
    async [Symbol.asyncDispose]() {
      await store.close()
      await files[Symbol.asyncDispose]()
    },
  }
})

describePieceStore('paceReads()', async () => {
  const files = await image()
  const store = await openFileStore(files.metainfo, files.directory)
  const bucket = createTokenBucket({ bytesPerSecond: 2 ** 30, clock: systemClock })
  return {
    store: paceReads(store, bucket, new AbortController().signal),
    ...{ content, metainfo: files.metainfo },
    async [Symbol.asyncDispose]() {
      await store.close()
      await files[Symbol.asyncDispose]()
    },
  }
})

test('paceReads() charges what is located once, and what is not located when it is read', async () => {
  const charged: number[] = []
  const bucket = {
    take: (bytes: number) => {
      charged.push(bytes)
      return Promise.resolve()
    },
  }
  const span = { fd: 0, positionBytes: 0, lengthBytes: 10, isMemory: true }
  const store: PieceStore = {
    locate: (index) => Promise.resolve(index === 0 ? [span] : undefined),
    read: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
  const paced = paceReads(store, bucket as unknown as TokenBucket, new AbortController().signal)
  assert.deepEqual(await paced.locate(0, 0, 10), [span])
  assert.equal(await paced.locate(1, 0, 20), undefined)
  assert.deepEqual(charged, [10])
  await paced.read(1, 0, new Uint8Array(20))
  assert.deepEqual(charged, [10, 20])
})

test('openFileStore() tells no place in a pad, nor of what was never read or written', async () => {
  await using files = await image()
  const pack = join(files.directory, 'sub', 'pack')
  await truncate(pack, 0)
  await truncate(pack, 100_000) // a hole: in no cache, on no disk
  const store = await openFileStore(files.metainfo, files.directory)
  assert.equal(await store.locate(0, 0, PIECE), undefined)
  assert.equal(await store.locate(1, 0, PIECE), undefined)
  await store.close()
})

test('openFileStore() tells the places of what lies in two files', async (t) => {
  if (!kernelTellsCached()) return t.skip('needs Linux 6.5')
  await using files = await image()
  const infoBytes = encodeInfo({
    ...{ name: 'image', pieceLengthBytes: PIECE, pieceHashes: Buffer.alloc(20 * 4) },
    files: [
      { path: ['manifest'], lengthBytes: 1000 },
      { path: ['sub', 'pack'], lengthBytes: 100_000 },
    ],
  })
  const metainfo = parseMetainfo(encodeMetainfo({ infoBytes }))
  const store = await openFileStore(metainfo, files.directory)
  const spans = (await store.locate(0, 900, PIECE - 900)) ?? []
  assert.deepEqual(
    spans.map(({ positionBytes, lengthBytes }) => [positionBytes, lengthBytes]),
    [
      [900, 100],
      [0, PIECE - 1000],
    ],
  )
  const expected = Buffer.concat([manifest.subarray(900), pack.subarray(0, PIECE - 1000)])
  assert.deepEqual(contentOf(spans), expected)
  await store.close()
})

test('openFileStore() refuses a file that is missing or has another length', async () => {
  await using files = await image()
  const refused = (error: unknown) => isSiError(error, 'ERR_SI_INTEGRITY')
  await truncate(join(files.directory, 'sub', 'pack'), 99_999)
  await assert.rejects(openFileStore(files.metainfo, files.directory), refused)
  await rm(join(files.directory, 'sub', 'pack'))
  await assert.rejects(openFileStore(files.metainfo, files.directory), refused)
})

test('openFileStore() rejects reads of a file that became shorter', async () => {
  await using files = await image()
  const store = await openFileStore(files.metainfo, files.directory)
  await truncate(join(files.directory, 'sub', 'pack'), 10)
  await assert.rejects(store.read(2, 0, new Uint8Array(100)), /became shorter/)
  await store.close()
})
