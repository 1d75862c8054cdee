import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { readManifest, type Manifest, type ManifestEntry } from '../../../src/image/image.ts'
import { encodeEntry, parseEntry } from '../../../src/image/manifest-record.ts'

type Json = Record<string, unknown>

const SHA = 'ab'.repeat(32)

const HEADER: Json = {
  format: 'swarmimager-image',
  formatVersion: 1,
  kind: 'tar',
  name: 'web',
  version: '1',
  createdAt: '2026-01-31T12:00:00.000Z',
  source: { host: 'h', operatingSystem: 'Debian', architecture: 'x86_64', kernel: '6.1' },
  boot: { method: 'bios' },
  layout: null,
  fstab: '',
  excludes: [],
  changedFiles: [],
  pieceLengthBytes: 16384,
  chunking: { averageBytes: 1024, minimumBytes: 512, maximumBytes: 4096 },
  zstdLevel: 3,
  tarBytes: 10240,
  packBytes: 16384 + 300,
  contentBytes: 600,
  entryCount: 2,
  chunkCount: 3,
  pieceCount: 2,
}
const ROOT: Json = { type: 'directory', path: '', mode: 493, uid: 0, gid: 0, mtimeNs: '0' }
const FILE: Json = {
  ...{ type: 'file', path: 'f', mode: 420, uid: 0, gid: 0, mtimeNs: '-1' },
  ...{ sizeBytes: 600, dataOffset: 1024 },
}
const chunk = (
  tarOffset: number,
  lengthBytes: number,
  packOffset: number,
  packedBytes: number,
) => ({
  ...{ type: 'chunk', tarOffset, lengthBytes, packOffset, packedBytes, sha256: SHA },
})
const CHUNKS: readonly Json[] = [
  chunk(0, 4096, 0, 10000),
  chunk(4096, 4096, 10000, 6000),
  chunk(8192, 2048, 16384, 300),
]
const PIECE: Json = { type: 'piece', sha256: SHA }
const GOOD: readonly Json[] = [HEADER, ROOT, FILE, ...CHUNKS, PIECE, PIECE]

const text = (records: readonly Json[]) => records.map((r) => JSON.stringify(r) + '\n').join('')

function read(
  plain: string | Buffer,
  onEntry: (entry: ManifestEntry) => void = () => {},
): Promise<Manifest> {
  return readManifest(parts([zstdCompressSync(plain)]), onEntry)
}

async function* parts(buffers: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* buffers
}

test('readManifest() gives entries in order, chunks as columns and piece hashes', async () => {
  const paths: string[] = []
  const manifest = await read(text(GOOD), (entry) => paths.push(entry.path.toString()))
  assert.deepEqual(paths, ['', 'f'])
  assert.deepEqual([...manifest.chunks.tarOffset], [0, 4096, 8192])
  assert.deepEqual([...manifest.chunks.lengthBytes], [4096, 4096, 2048])
  assert.deepEqual([...manifest.chunks.packOffset], [0, 10000, 16384])
  assert.deepEqual([...manifest.chunks.packedBytes], [10000, 6000, 300])
  assert.deepEqual([...manifest.chunks.firstOfPiece], [0, 2, 3])
  assert.equal(Buffer.from(manifest.pieceSha256).toString('hex'), SHA + SHA)
  assert.ok(manifest.chunks.sha256.buffer instanceof SharedArrayBuffer)
})

test('readManifest() takes its bytes one at a time', async () => {
  const packed = zstdCompressSync(text(GOOD))
  const bytes = Array.from(packed, (byte) => Uint8Array.of(byte))
  const manifest = await readManifest(parts(bytes), () => {})
  assert.equal(manifest.header.name, 'web')
})

test('readManifest() refuses a manifest cut off at any byte', async () => {
  const packed = zstdCompressSync(text(GOOD))
  for (let length = 0; length < packed.length; length++) {
    await assert.rejects(
      readManifest(parts([packed.subarray(0, length)]), () => {}),
      (error) => isSiError(error, 'ERR_SI_MANIFEST_FORMAT'),
      `at ${length}`,
    )
  }
})

test('readManifest() refuses a manifest that speaks of another pack than the torrent', async () => {
  const torrent = { pieceLengthBytes: 16384, packBytes: 16684 }
  const packed = zstdCompressSync(text(GOOD))
  const readWith = (facts: typeof torrent) => readManifest(parts([packed]), () => {}, facts)
  assert.equal((await readWith(torrent)).header.name, 'web')
  for (const [facts, words] of [
    [{ ...torrent, pieceLengthBytes: 32768 }, /pieceLengthBytes is 16384, the torrent's 32768$/],
    [{ ...torrent, packBytes: 16683 }, /packBytes is 16684, the torrent's 16683$/],
  ] as const) {
    await assert.rejects(readWith(facts), { code: 'ERR_SI_MANIFEST_FORMAT', message: words })
  }
})

test('readManifest() passes on what its source throws', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield zstdCompressSync(text(GOOD)).subarray(0, 20)
    throw new Error('cable pulled')
  }
  await assert.rejects(
    readManifest(failing(), () => {}),
    /cable pulled/,
  )
})

test('readManifest() passes on what its listener throws', async () => {
  const onEntry = () => {
    throw new Error('target full')
  }
  await assert.rejects(read(text(GOOD), onEntry), /target full/)
})

const entryOf = (fields: Json): Json[] => GOOD.with(2, { ...FILE, ...fields })
const headerOf = (fields: Json): Json[] => GOOD.with(0, { ...HEADER, ...fields })
const chunkOf = (index: number, fields: Json): Json[] =>
  GOOD.with(3 + index, { ...CHUNKS[index], ...fields })

const MALFORMED: readonly (readonly [name: string, plain: string | readonly Json[]])[] = [
  ['an empty manifest', ''],
  ['a line that is no JSON', 'hello\n'],
  ['a line that is no object', '[]\n'],
  ['a header of another format', headerOf({ format: 'other' })],
  ['a later version', headerOf({ formatVersion: 2 })],
  ['another kind', headerOf({ kind: 'block' })],
  ['a header with an unknown field', headerOf({ extra: 1 })],
  ['a header without a name', headerOf({ name: undefined })],
  ['a piece length that is no power of two', headerOf({ pieceLengthBytes: 20000 })],
  ['a piece length of 2^40', headerOf({ pieceLengthBytes: 2 ** 40 })],
  ['a tarBytes beyond 2^53', headerOf({ tarBytes: 1e300 })],
  ['a tarBytes of no whole blocks', headerOf({ tarBytes: 10241 })],
  ['a wrong pieceCount', headerOf({ pieceCount: 3 })],
  ['more chunks than tar blocks', headerOf({ chunkCount: 1000 })],
  ['more entries than tar blocks', headerOf({ entryCount: 1000 })],
  ['too few entries', GOOD.toSpliced(2, 1)],
  ['too many entries', GOOD.toSpliced(3, 0, { ...FILE, path: 'g' })],
  ['too few chunks', GOOD.toSpliced(5, 1)],
  ['too many chunks', GOOD.toSpliced(6, 0, chunk(10240, 512, 16684, 9))],
  ['too few pieces', GOOD.slice(0, -1)],
  ['too many pieces', [...GOOD, PIECE]],
  ['a contentBytes that does not fit', headerOf({ contentBytes: 601 })],
  ['a last line without its end', text(GOOD).slice(0, -1)],
  ['an unknown record', [...GOOD, { type: 'door' }]],
  ['an entry behind the chunks', GOOD.toSpliced(2, 1).toSpliced(5, 0, FILE)],
  ['a chunk behind the pieces', [...GOOD.toSpliced(5, 1), CHUNKS[2] ?? {}]],
  ['a directory twice', GOOD.with(2, ROOT)],
  ['an entry without a path', entryOf({ path: undefined })],
  ['a mode of 13 bits', entryOf({ mode: 8192 })],
  ['a negative uid', entryOf({ uid: -1 })],
  ['a uid of 2^32 - 1', entryOf({ uid: 0xffffffff })],
  ['a mtime that is a number', entryOf({ mtimeNs: 5 })],
  ['a size that is a fraction', entryOf({ sizeBytes: 0.5 })],
  ['file data beyond the tar', entryOf({ dataOffset: 10000 })],
  ['a sparse map that does not add up', entryOf({ sparse: [[0, 512]], dataBytes: 600 })],
  ['a sparse map that is no list', entryOf({ sparse: 'x', dataBytes: 600 })],
  ['a symlink without target', entryOf({ type: 'symlink' })],
  ['a symlink target with NUL', entryOf({ type: 'symlink', linkTarget: 'a\0b' })],
  ['an extended attribute without value', entryOf({ xattrs: [['user.x']] })],
  ['an extended attribute with NUL in its name', entryOf({ xattrs: [['user.\0', '']] })],
  ['a device number too large', entryOf({ type: 'block', deviceMajor: 4096, deviceMinor: 0 })],
  ['a chunk that crosses the end of its piece', chunkOf(1, { packedBytes: 6385 })],
  ['a piece whose rest cannot be filled', chunkOf(1, { packedBytes: 6380 })],
  ['a gap between frames', chunkOf(1, { packOffset: 10001 })],
  ['a piece that does not begin with a frame', chunkOf(2, { packOffset: 16385 })],
  ['a gap in the tar', chunkOf(1, { tarOffset: 4608 })],
  ['chunks that overlap', chunkOf(1, { tarOffset: 3584 })],
  ['a chunk longer than the maximum', chunkOf(0, { lengthBytes: 4608 })],
  ['a chunk of length 0', chunkOf(0, { lengthBytes: 0 })],
  ['a frame of length 0', chunkOf(0, { packedBytes: 0 })],
  ['a chunk without its hash', chunkOf(0, { sha256: 'x' })],
  ['a chunk that ends short of the tar', chunkOf(2, { lengthBytes: 1536 })],
]

for (const [name, plain] of MALFORMED) {
  test(`readManifest() refuses ${name}`, async () => {
    await assert.rejects(read(typeof plain === 'string' ? plain : text(plain)), (error) =>
      isSiError(error, 'ERR_SI_MANIFEST_FORMAT'),
    )
  })
}

const through = (link: Json): Json[] =>
  [{ ...HEADER, entryCount: 3 }, ROOT, { ...ROOT, ...link }, FILE, ...CHUNKS, PIECE, PIECE].with(
    3,
    {
      ...FILE,
      path: 'l/passwd',
    },
  )

const UNSAFE: readonly (readonly [name: string, records: readonly Json[]])[] = [
  ['an absolute path', entryOf({ path: '/etc/passwd' })],
  ['a path with ..', entryOf({ path: '../f' })],
  ['a path with .. in base64', entryOf({ path: undefined, pathBase64: 'Li4vZg==' })],
  ['a path with NUL', entryOf({ path: 'f\0' })],
  ['a path without its parent', entryOf({ path: 'd/f' })],
  ['a path through a symlink', through({ type: 'symlink', path: 'l', linkTarget: '/etc' })],
  ['a path through a file', through({ type: 'fifo', path: 'l' })],
  ['a hard link to outside', entryOf({ type: 'hardlink', linkTarget: '../../etc/passwd' })],
  ['a hard link to what is not there', entryOf({ type: 'hardlink', linkTarget: 'g' })],
  ['a symlink as root', GOOD.with(1, { ...ROOT, type: 'symlink', linkTarget: '/' })],
  [
    'a path twice',
    [{ ...HEADER, entryCount: 3 }, ROOT, FILE, FILE, ...CHUNKS, PIECE, PIECE] as Json[],
  ],
]

for (const [name, records] of UNSAFE) {
  test(`readManifest() refuses ${name}`, async () => {
    await assert.rejects(read(text(records)), (error) => isSiError(error, 'ERR_SI_UNSAFE_PATH'))
  })
}

test('readManifest() refuses a line without end before it fills the memory', async () => {
  const endless = `${text([HEADER])}{"type":"${'x'.repeat(17 * 2 ** 20)}`
  await assert.rejects(read(endless), /a line is too long/)
})

test('parseEntry() gives back what encodeEntry() wrote, for any bytes', () => {
  const bytes = fc
    .uint8Array({ minLength: 1, maxLength: 60 })
    .map((b) => Buffer.from(b.map((x) => x || 1)))
  const common = fc.record({
    path: bytes,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 0xfffffffe }),
    gid: fc.integer({ min: 0, max: 0xfffffffe }),
    mtimeNs: fc.bigInt({ min: -(10n ** 18n), max: 10n ** 19n }),
    xattrs: fc.array(
      fc.record({
        name: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }),
        value: fc.uint8Array({ maxLength: 50 }).map((b) => Buffer.from(b)),
      }),
      { maxLength: 3 },
    ),
  })
  const data = { sizeBytes: 0, dataOffset: 0, dataBytes: 0, sparse: null, linkTarget: null }
  const none = { ...data, deviceMajor: 0, deviceMinor: 0 }
  const kinds = fc.oneof(
    fc.constantFrom('directory' as const, 'fifo' as const).map((type) => ({ ...none, type })),
    fc.integer({ min: 0, max: 5000 }).map((sizeBytes) => ({
      ...{ ...none, type: 'file' as const, sizeBytes, dataBytes: sizeBytes, dataOffset: 512 },
    })),
    fc.constant({
      ...{ ...none, type: 'file' as const, sizeBytes: 9000, dataBytes: 612, dataOffset: 1024 },
      sparse: [
        { offset: 512, length: 512 },
        { offset: 8000, length: 100 },
      ],
    }),
    bytes.map((linkTarget) => ({ ...none, type: 'symlink' as const, linkTarget })),
    fc.nat(0xfff).map((major) => ({ ...none, type: 'block' as const, deviceMajor: major })),
  )
  fc.assert(
    fc.property(common, kinds, (fields, kind) => {
      const xattrs = fields.xattrs.map((xattr) => ({ ...xattr }))
      const entry: ManifestEntry = { ...fields, ...kind, xattrs }
      const record = JSON.parse(encodeEntry(entry)) as Json
      assert.deepEqual(parseEntry(record, 10240), entry)
    }),
  )
})

test('readManifest() meets any changed byte with a manifest or its own errors', async () => {
  const plain = Buffer.from(text(GOOD))
  const change = fc.record({ at: fc.nat(plain.length - 1), byte: fc.nat(255) })
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const bad = Buffer.from(plain)
      for (const { at, byte } of changes) bad[at] = byte
      try {
        await read(bad)
      } catch (error) {
        const isOurs =
          isSiError(error, 'ERR_SI_MANIFEST_FORMAT') || isSiError(error, 'ERR_SI_UNSAFE_PATH')
        if (!isOurs) throw error
      }
    }),
    { numRuns: 300 },
  )
})

test('readManifest() meets any changed byte of the compressed form with its own errors', async () => {
  const packed = zstdCompressSync(text(GOOD))
  await fc.assert(
    fc.asyncProperty(
      fc.nat(packed.length - 1),
      fc.integer({ min: 1, max: 255 }),
      async (at, bits) => {
        const bad = Buffer.from(packed)
        bad[at] = (bad[at] ?? 0) ^ bits
        try {
          await readManifest(parts([bad]), () => {})
        } catch (error) {
          const isOurs =
            isSiError(error, 'ERR_SI_MANIFEST_FORMAT') || isSiError(error, 'ERR_SI_UNSAFE_PATH')
          if (!isOurs) throw error
        }
      },
    ),
    { numRuns: 300 },
  )
})
