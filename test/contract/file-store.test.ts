// The store over files: the contract, pads, and files that do not fit their torrent.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSiError } from '../../src/core/core.ts'
import { openFileStore } from '../../src/swarm/swarm.ts'
import { encodeInfo, encodeMetainfo, parseMetainfo } from '../../src/torrent/torrent.ts'
import { noise } from '../integration/swarm-lab.ts'
import { describePieceStore } from './piece-store.ts'

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
