// Torrent files: made by others, made by us, damaged and hostile.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { run } from '../../../src/host/host.ts'
import {
  decodeBencode,
  encodeBencode,
  encodeInfo,
  encodeMetainfo,
  parseInfoHash,
  parseMetainfo,
  type Bencodable,
} from '../../../src/torrent/torrent.ts'

const refused = (error: unknown) => isSiError(error, 'ERR_SI_TORRENT_FORMAT')

const INFO = {
  name: 'image',
  'piece length': 32768,
  pieces: Buffer.alloc(40, 1),
  files: [
    { length: 10, path: ['manifest'] },
    { attr: 'p', length: 32758, path: ['.pad', '32758'] },
    { length: 1000, path: ['folder', 'pack'] },
  ],
}

function torrent(info: Record<string, Bencodable>, root: Record<string, Bencodable> = {}): Buffer {
  return encodeBencode({ ...root, info })
}

async function makeTorrent(
  context: TestContext,
  program: string,
  args: (directory: string) => readonly string[],
): Promise<Buffer | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'si-torrent-'))
  try {
    await mkdir(join(directory, 'data'))
    await writeFile(join(directory, 'data', 'a'), Buffer.alloc(100_000, 1))
    await writeFile(join(directory, 'data', 'b'), Buffer.alloc(50_001, 2))
    await run(program, args(directory), { cwd: directory })
    return await readFile(join(directory, 'out.torrent'))
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_PROGRAM_MISSING') || process.env['CI'] === 'true') throw error
    context.skip(`${program} is not installed`)
    return undefined
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function checkFixture(bytes: Buffer): void {
  const metainfo = parseMetainfo(bytes)
  const data = Buffer.concat([Buffer.alloc(100_000, 1), Buffer.alloc(50_001, 2)])
  assert.equal(metainfo.name, 'data')
  assert.equal(metainfo.lengthBytes, 150_001)
  assert.deepEqual(
    metainfo.files.map((file) => [file.path.join('/'), file.lengthBytes, file.offsetBytes]),
    [
      ['a', 100_000, 0],
      ['b', 50_001, 100_000],
    ],
  )
  const firstPiece = data.subarray(0, metainfo.pieceLengthBytes)
  assert.deepEqual(
    Buffer.from(metainfo.pieceHashes.subarray(0, 20)),
    createHash('sha1').update(firstPiece).digest(),
  )
  assert.deepEqual(metainfo.trackers, [['http://127.0.0.1:1/announce']])
}

test('parseMetainfo() reads a torrent of mktorrent', async (context) => {
  const bytes = await makeTorrent(context, 'mktorrent', () => [
    ...['-l', '15', '-a', 'http://127.0.0.1:1/announce', '-o', 'out.torrent', 'data'],
  ])
  if (bytes !== undefined) checkFixture(bytes)
})

test('parseMetainfo() reads a torrent of transmission-create', async (context) => {
  const bytes = await makeTorrent(context, 'transmission-create', () => [
    ...['-p', '-s', '32', '-t', 'http://127.0.0.1:1/announce', '-o', 'out.torrent', 'data'],
  ])
  if (bytes === undefined) return
  checkFixture(bytes)
  assert.equal(parseMetainfo(bytes).isPrivate, true)
})

test('parseMetainfo() reads pads, tiers and the private flag', () => {
  const metainfo = parseMetainfo(
    torrent(
      { ...INFO, private: 1 },
      { announce: 'http://x', 'announce-list': [['http://a', 'http://b'], ['http://c']] },
    ),
  )
  assert.deepEqual(
    metainfo.files.map((file) => [file.isPad, file.offsetBytes]),
    [
      [false, 0],
      [true, 10],
      [false, 32768],
    ],
  )
  assert.deepEqual(metainfo.trackers, [['http://a', 'http://b'], ['http://c']])
  assert.equal(metainfo.isPrivate, true)
  assert.equal(metainfo.pieceCount, 2)
})

test('parseMetainfo() reads one web seed or a list, http only', () => {
  const seedsOf = (value: Bencodable) =>
    parseMetainfo(torrent(INFO, { 'url-list': value })).webSeeds
  assert.deepEqual(seedsOf('http://m/x'), ['http://m/x'])
  const list = ['http://m/x', 'ftp://m/x', 'https://n/', 'http://m/x', 'nonsense', 7]
  assert.deepEqual(seedsOf(list), ['http://m/x', 'https://n/'])
  for (const none of ['', [], 7, {}]) assert.deepEqual(seedsOf(none), [])
  assert.throws(() => seedsOf(Array.from({ length: 101 }, (_, i) => `http://m/${i}`)), refused)
  assert.throws(() => seedsOf(Buffer.from([0xff, 0xfe])), refused)
})

test('parseMetainfo() tells a single file from a folder with one file', () => {
  assert.equal(parseMetainfo(torrent(INFO)).isSingleFile, false)
  const info = encodeBencode({ length: 5, name: 'n', 'piece length': 8, pieces: Buffer.alloc(20) })
  assert.equal(parseMetainfo(encodeMetainfo({ infoBytes: info })).isSingleFile, true)
})

test('encodeMetainfo() writes web seeds where they sort', () => {
  const { infoBytes } = parseMetainfo(torrent(INFO))
  const webSeeds = ['http://m/a/', 'https://n/b']
  const trackers = [['http://t']]
  const metainfo = parseMetainfo(encodeMetainfo({ infoBytes, trackers, webSeeds }))
  assert.deepEqual(metainfo.webSeeds, webSeeds)
  assert.deepEqual(metainfo.trackers, trackers)
  assert.doesNotThrow(() => decodeBencode(encodeMetainfo({ infoBytes, trackers, webSeeds })))
})

test('parseMetainfo() takes the info hash over the bytes as they stand', () => {
  const info = Buffer.from(
    'd6:lengthi5e4:name1:n12:piece lengthi8e6:pieces20:aaaaaaaaaaaaaaaaaaaa1:xi1ee',
  )
  const metainfo = parseMetainfo(Buffer.concat([Buffer.from('d4:info'), info, Buffer.from('e')]))
  assert.equal(metainfo.infoHash, createHash('sha1').update(info).digest('hex'))
  assert.deepEqual(metainfo.infoBytes, info)
  assert.deepEqual(metainfo.files[0]?.path, ['n'])
})

test('parseMetainfo() reads back what encodeInfo() and encodeMetainfo() wrote', () => {
  const file = fc.record({
    lengthBytes: fc.integer({ min: 1, max: 100_000 }),
    isPad: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(file, { minLength: 1, maxLength: 6 }), fc.boolean(), (list, isPrivate) => {
      const files = list.map((entry, index) => ({ ...entry, path: ['d', `ä${index}`] }))
      const lengthBytes = files.reduce((sum, entry) => sum + entry.lengthBytes, 0)
      const pieceHashes = Buffer.alloc(20 * Math.ceil(lengthBytes / 16384), 3)
      const infoBytes = encodeInfo({
        ...{ name: 'x', pieceLengthBytes: 16384, files, pieceHashes, isPrivate },
      })
      const trackers = [['http://a'], ['http://b']]
      const metainfo = parseMetainfo(
        encodeMetainfo({ infoBytes, trackers, comment: 'c', createdBy: 'us' }),
      )
      assert.deepEqual(metainfo.infoBytes, infoBytes)
      assert.deepEqual(metainfo.trackers, trackers)
      assert.deepEqual(
        metainfo.files.map(({ path, lengthBytes: bytes, isPad }) => ({
          ...{ lengthBytes: bytes, isPad, path },
        })),
        files,
      )
      assert.equal(metainfo.isPrivate, isPrivate)
    }),
  )
})

test('parseMetainfo() refuses every truncation', () => {
  const bytes = torrent(INFO)
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => parseMetainfo(bytes.subarray(0, length)), refused)
  }
})

test('parseMetainfo() throws nothing but ERR_SI_TORRENT_FORMAT for damaged bytes', () => {
  const bytes = torrent(INFO)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const damaged = Buffer.from(bytes)
      damaged[at] = value
      try {
        parseMetainfo(damaged)
      } catch (error) {
        assert.ok(refused(error), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

for (const [what, change] of [
  ['a piece length of 0', { 'piece length': 0 }],
  ['a negative piece length', { 'piece length': -1 }],
  ['a piece length of 1 TiB', { 'piece length': 2 ** 40 }],
  ['too few hashes', { pieces: Buffer.alloc(20) }],
  ['too many hashes', { pieces: Buffer.alloc(60) }],
  ['half a hash', { pieces: Buffer.alloc(30) }],
  ['no hashes', { pieces: 5 }],
  ['no files and no length', { files: [] }],
  ['a negative length', { files: [{ length: -1, path: ['a'] }] }],
  [
    'lengths beyond 2^53',
    {
      files: [
        { length: 2 ** 53 - 1, path: ['a'] },
        { length: 9, path: ['b'] },
      ],
    },
  ],
  [
    'a path twice',
    {
      files: [
        { length: 9, path: ['a'] },
        { length: 40000, path: ['a'] },
      ],
    },
  ],
  ['an empty path', { files: [{ length: 40000, path: [] }] }],
  ['an empty name in a path', { files: [{ length: 40000, path: ['a', ''] }] }],
  ['a path with ..', { files: [{ length: 40000, path: ['..', 'etc'] }] }],
  ['a path with .', { files: [{ length: 40000, path: ['.', 'etc'] }] }],
  ['a path with a slash', { files: [{ length: 40000, path: ['/etc/passwd'] }] }],
  ['a path with NUL', { files: [{ length: 40000, path: ['a\0b'] }] }],
  ['a name of 300 bytes', { files: [{ length: 40000, path: ['x'.repeat(300)] }] }],
  ['a path that is not UTF-8', { files: [{ length: 40000, path: [Buffer.from([0xff])] }] }],
  ['a torrent named ..', { name: '..' }],
  ['a torrent without a name', { name: 7 }],
] as const) {
  test(`parseMetainfo() rejects ${what}`, () => {
    assert.throws(() => parseMetainfo(torrent({ ...INFO, ...change } as typeof INFO)), refused)
  })
}

test('parseMetainfo() rejects what is no torrent at all', () => {
  for (const text of ['', '<!doctype html>', 'de', 'd4:infoi1ee', 'i1e']) {
    assert.throws(() => parseMetainfo(Buffer.from(text)), refused)
  }
})

test('parseInfoHash() takes 40 hexadecimal digits of either case', () => {
  assert.equal(parseInfoHash('AB'.repeat(20)), 'ab'.repeat(20))
  for (const text of ['', 'ab', 'zz'.repeat(20), 'ab'.repeat(21)]) {
    assert.throws(() => parseInfoHash(text), refused)
  }
})
