import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { isSiError } from '../../../src/core/core.ts'
import { choosePieceLengthBytes, imageFilesOf } from '../../../src/image/image.ts'
import { encodeInfo, encodeMetainfo, parseMetainfo } from '../../../src/torrent/torrent.ts'

const PIECE_BYTES = 16384

type File = readonly [name: string, lengthBytes: number, isPad?: boolean]

function torrentOf(files: readonly File[], pieceLengthBytes = PIECE_BYTES) {
  const total = files.reduce((sum, [, lengthBytes]) => sum + lengthBytes, 0)
  const infoBytes = encodeInfo({
    name: 'web',
    pieceLengthBytes,
    files: files.map(([name, lengthBytes, isPad = false]) => ({
      path: name.split('/'),
      lengthBytes,
      isPad,
    })),
    pieceHashes: Buffer.alloc(20 * Math.ceil(total / pieceLengthBytes)),
  })
  return parseMetainfo(encodeMetainfo({ infoBytes }))
}

test('imageFilesOf() finds manifest and pack around a pad', () => {
  const files = imageFilesOf(
    torrentOf([
      ['manifest.jsonl.zst', 20000],
      ['.pad/12768', 12768, true],
      ['image.tar.zst', 40000],
    ]),
  )
  assert.deepEqual(files, {
    manifest: { firstPiece: 0, pieceCount: 2, lengthBytes: 20000 },
    signature: null,
    pack: { firstPiece: 2, pieceCount: 3, lengthBytes: 40000 },
  })
})

test('imageFilesOf() finds a signature that shares a piece with the manifest', () => {
  const files = imageFilesOf(
    torrentOf([
      ['manifest.jsonl.zst', 16000],
      ['manifest.sig', 384],
      ['image.tar.zst', 100],
    ]),
  )
  assert.deepEqual(files.signature, { firstPiece: 0, pieceCount: 1, lengthBytes: 384 })
})

test('imageFilesOf() refuses pieces so large that a few would fill the memory', () => {
  const pieceBytes = 2 ** 28
  const torrent = torrentOf(
    [
      ['manifest.jsonl.zst', pieceBytes],
      ['image.tar.zst', 9],
    ],
    pieceBytes,
  )
  assert.throws(
    () => imageFilesOf(torrent),
    (error) => isSiError(error, 'ERR_SI_IMAGE_FORMAT'),
  )
})

const FOREIGN: readonly (readonly [name: string, files: readonly File[]])[] = [
  ['another file', [['debian.iso', 5000]]],
  [
    'one more file',
    [
      ['manifest.jsonl.zst', PIECE_BYTES],
      ['image.tar.zst', 9],
      ['x', 9],
    ],
  ],
  ['no manifest', [['image.tar.zst', 9]]],
  [
    'another order',
    [
      ['image.tar.zst', PIECE_BYTES],
      ['manifest.jsonl.zst', 9],
    ],
  ],
  [
    'a pack off its boundary',
    [
      ['manifest.jsonl.zst', 9],
      ['image.tar.zst', 9],
    ],
  ],
  [
    'an empty pack',
    [
      ['manifest.jsonl.zst', PIECE_BYTES],
      ['image.tar.zst', 0],
    ],
  ],
]

for (const [name, files] of FOREIGN) {
  test(`imageFilesOf() refuses a torrent with ${name}`, () => {
    assert.throws(
      () => imageFilesOf(torrentOf(files)),
      (error) => isSiError(error, 'ERR_SI_IMAGE_FORMAT'),
    )
  })
}

test('choosePieceLengthBytes() follows the table of FORMAT.md', () => {
  const GIB = 2 ** 30
  const MIB = 2 ** 20
  const table = [
    [0, 1],
    [GIB, 1],
    [GIB + 1, 4],
    [64 * GIB, 4],
    [64 * GIB + 1, 8],
    [256 * GIB, 8],
    [256 * GIB + 1, 16],
  ] as const
  for (const [packBytes, mebibytes] of table) {
    assert.equal(choosePieceLengthBytes(packBytes), mebibytes * MIB)
  }
})

for (const lengthBytes of [0, 5 * PIECE_BYTES]) {
  test(`imageFilesOf() refuses a signature of ${lengthBytes} bytes`, () => {
    const torrent = torrentOf([
      ['manifest.jsonl.zst', PIECE_BYTES],
      ['manifest.sig', lengthBytes],
      ['image.tar.zst', 100],
    ])
    assert.throws(() => imageFilesOf(torrent), { message: /signature of \d+ bytes/ })
  })
}

test('imageFilesOf() refuses a signature that does not follow the manifest', () => {
  const torrent = torrentOf([
    ['manifest.jsonl.zst', PIECE_BYTES - 100],
    ['.pad/100', 100, true],
    ['manifest.sig', PIECE_BYTES],
    ['image.tar.zst', 100],
  ])
  assert.throws(() => imageFilesOf(torrent), { message: /does not follow the manifest/ })
})
