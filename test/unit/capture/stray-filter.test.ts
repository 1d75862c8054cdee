// What the filter takes out of a tar and what it lets pass, however the stream is cut.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StrayFilter } from '../../../src/capture/stray-filter.ts'
import { END_OF_ARCHIVE, header } from '../image/tar-fixture.ts'

interface Object {
  readonly path: string
  readonly listed: string
  /** `0` file, `5` directory, `2` symlink, `1` hard link. */
  readonly flag: string
  readonly link?: string
  readonly bytes?: number
}

const file = (path: string, bytes = 0): Object => ({ path, listed: 'f', flag: '0', bytes })
const directory = (path: string): Object => ({ path, listed: 'd', flag: '5' })

/** A member with a pax header before it, as GNU tar writes most of them. */
function member({ path, flag, link, bytes = 0 }: Object): Buffer {
  const record = Buffer.alloc(512)
  record.write('20 mtime=1700000000\n')
  const data = Buffer.alloc(Math.ceil(bytes / 512) * 512, path)
  return Buffer.concat([
    header({ name: './PaxHeaders/x', typeFlag: 'x', sizeBytes: 20 }),
    record,
    header({ name: `./${path}`, typeFlag: flag, linkName: link ?? '', sizeBytes: bytes }),
    data,
  ])
}

function archive(objects: readonly Object[]): Buffer {
  const bytes = Buffer.concat([...objects.map(member), END_OF_ARCHIVE])
  return Buffer.concat([bytes, Buffer.alloc((10_240 - (bytes.length % 10_240)) % 10_240)])
}

function makeFilter(objects: readonly Object[], portions: readonly number[] = [100_000]) {
  const bytes = archive(objects)
  let [at, turn] = [0, 0]
  const source = {
    read(into: Uint8Array) {
      const length = Math.min(portions[turn++ % portions.length] ?? 1, into.length)
      const part = bytes.subarray(at, at + length)
      into.set(part)
      at += part.length
      return Promise.resolve(part.length)
    },
  }
  const selection = {
    *members() {
      for (const [index, { path }] of objects.entries()) yield { index, path }
    },
  }
  const types = Uint8Array.from(objects, ({ listed }) => listed.charCodeAt(0))
  return new StrayFilter(source, selection, { types })
}

async function readAll(filter: StrayFilter, roomBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  for (;;) {
    const into = Buffer.alloc(roomBytes)
    const length = await filter.read(into)
    if (length === 0) return Buffer.concat(parts)
    parts.push(into.subarray(0, length))
  }
}

const UNCHANGED = [directory('a'), file('a/b', 700), file('a/c'), directory('d'), file('d/e', 9000)]

test('StrayFilter passes a tar whose objects are as listed, byte for byte', async () => {
  const portion = fc.integer({ min: 1, max: 5000 })
  const portions = fc.array(portion, { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(portions, portion, async (cuts, roomBytes) => {
      const filter = makeFilter(UNCHANGED, cuts)
      assert.deepEqual(await readAll(filter, roomBytes), archive(UNCHANGED))
      assert.deepEqual([filter.changedCount, filter.notes], [0, []])
    }),
    { numRuns: 50 },
  )
})

const CHANGED: readonly Object[] = [
  ...UNCHANGED,
  { path: 'f', listed: 'd', flag: '2', link: '/etc' },
  file('f/g', 6000),
  { path: 'f/h', listed: 'd', flag: '5' },
  file('f/h/i', 1),
  file('j', 512),
  { path: 'k', listed: 'f', flag: '1', link: './f/g' },
  { path: 'l', listed: 'f', flag: '1', link: './j' },
]

test('StrayFilter takes out what lies below a link that was listed as a directory, and links to it', async () => {
  const portion = fc.integer({ min: 1, max: 5000 })
  const portions = fc.array(portion, { minLength: 1, maxLength: 5 })
  const strays = ['f/g', 'f/h', 'f/h/i', 'k']
  await fc.assert(
    fc.asyncProperty(portions, portion, async (cuts, roomBytes) => {
      const filter = makeFilter(CHANGED, cuts)
      const kept = CHANGED.filter(({ path }) => !strays.includes(path))
      assert.deepEqual(await readAll(filter, roomBytes), archive(kept))
      assert.deepEqual(filter.changedFiles, ['/f', ...strays.map((path) => `/${path}`)])
      assert.deepEqual([filter.changedCount, filter.notes.length], [5, 2])
    }),
    { numRuns: 50 },
  )
})

test('StrayFilter names what changed its type, and what has no directory, because that came back', async () => {
  const file1 = { path: 'a', listed: 'f', flag: '5' }
  const filter = makeFilter([file1, file('gone/x')])
  await readAll(filter, 4096)
  assert.deepEqual(filter.changedFiles, ['/a', '/gone/x'])
})

test('StrayFilter hands on what an archive that was cut short has', async () => {
  const bytes = archive(CHANGED)
  for (const length of [1, 512, 700, 1100, 1536, 2000, 5000]) {
    let at = 0
    const source = {
      read(into: Uint8Array) {
        const part = bytes.subarray(at, Math.min(length, at + into.length))
        into.set(part)
        at += part.length
        return Promise.resolve(part.length)
      },
    }
    const selection = { *members() {} }
    const filter = new StrayFilter(source, selection, { types: new Uint8Array() })
    assert.deepEqual(await readAll(filter, 600), bytes.subarray(0, length))
  }
})
