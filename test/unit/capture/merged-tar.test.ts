// Two tars become one: that of the whole tree, whatever is taken from which and however the streams are cut.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as tar from 'tar-stream'
import { MemberStream } from '../../../src/capture/member-stream.ts'
import { mergeTar } from '../../../src/capture/merged-tar.ts'
import { TarReader, type MemberPlace } from '../../../src/image/image.ts'

interface File {
  readonly name: string
  readonly bytes: number
}

const RECORD_BYTES = 10_240

/** The archive of these files as GNU tar would pad it. */
async function pack(files: readonly File[]): Promise<Buffer> {
  const stream = tar.pack()
  for (const { name, bytes } of files) {
    stream.entry({ name: `./${name}`, mtime: new Date(0) }, Buffer.alloc(bytes, name))
  }
  stream.finalize()
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part as Buffer)
  const bytes = Buffer.concat(parts)
  const padded = Math.ceil(bytes.length / RECORD_BYTES) * RECORD_BYTES
  return Buffer.concat([bytes, Buffer.alloc(padded - bytes.length)])
}

function placesOf(archive: Buffer): MemberPlace[] {
  const places: MemberPlace[] = []
  const onMember = (place: MemberPlace) => void places.push(place)
  new TarReader({ onMember, onEntry() {}, onNote() {} }).push(archive)
  return places
}

/** Gives `bytes` in portions of these lengths, over and over. */
function sourceOf(bytes: Buffer, portions: readonly number[]) {
  let at = 0
  let turn = 0
  return {
    read(into: Uint8Array) {
      const portion = portions[turn++ % portions.length] ?? 1
      const part = bytes.subarray(at, at + Math.min(portion, into.length))
      into.set(part)
      at += part.length
      return Promise.resolve(part.length)
    },
  }
}

async function readAll(source: { read(into: Uint8Array): Promise<number> }): Promise<Buffer> {
  const parts: Buffer[] = []
  for (;;) {
    const into = Buffer.alloc(3000)
    const length = await source.read(into)
    if (length === 0) return Buffer.concat(parts)
    parts.push(into.subarray(0, length))
  }
}

async function merge(
  files: readonly File[],
  options: {
    readonly isTaken: (index: number) => boolean
    /** What tar sends; the rest of the files when left out. */
    readonly sent?: readonly File[]
    readonly portions: readonly number[]
  },
): Promise<Buffer> {
  const { isTaken, portions } = options
  const before = await pack(files)
  const places = placesOf(before)
  const sent = await pack(options.sent ?? files.filter((_, index) => !isTaken(index)))
  const source = mergeTar({
    selection: {
      *members() {
        for (const [index, { name }] of files.entries()) yield { index, path: name }
      },
    },
    unchanged: {
      ...{ files: 0, bytes: 0, has: isTaken },
      place: (index) => (isTaken(index) ? places[index] : undefined),
    },
    changed: new MemberStream(sourceOf(sent, portions)),
    pack: {
      async *range(start, lengthBytes) {
        yield before.subarray(start, start + lengthBytes)
      },
    },
  })
  return readAll(source)
}

test('mergeTar() makes the archive of the whole tree', async () => {
  const arbitrary = fc.array(fc.record({ bytes: fc.nat(3000), isTaken: fc.boolean() }), {
    minLength: 1,
    maxLength: 12,
  })
  const portions = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(arbitrary, portions, async (wishes, cuts) => {
      const files = wishes.map(({ bytes }, index) => ({ name: `file-${index}`, bytes }))
      const isTaken = (index: number) => wishes[index]?.isTaken ?? false
      const merged = await merge(files, { isTaken, portions: cuts })
      assert.ok(merged.equals(await pack(files)))
    }),
    { numRuns: 60 },
  )
})

test('mergeTar() leaves out what vanished, with all that was below it, and keeps what is added', async () => {
  const files = ['a', 'dir', 'dir/kept', 'dir/new', 'z'].map((name) => ({ name, bytes: 10 }))
  const merged = await merge(files, {
    isTaken: (index) => index === 2,
    sent: [files[0], files[4], { name: 'deep', bytes: 7 }].filter((file) => file !== undefined),
    portions: [4096],
  })
  const names = placesOf(merged).map(({ path }) => path.toString())
  assert.deepEqual(names, ['a', 'z', 'deep'])
  assert.equal(merged.length % RECORD_BYTES, 0)
})

test('mergeTar() refuses a stream that ends amid a member', async () => {
  const files = [{ name: 'a', bytes: 5000 }]
  const archive = await pack(files)
  const changed = new MemberStream(sourceOf(archive.subarray(0, 2048), [512]))
  const source = mergeTar({
    selection: {
      *members() {
        yield { index: 0, path: 'a' }
      },
    },
    unchanged: { files: 0, bytes: 0, has: () => false, place: () => undefined },
    changed,
    pack: { async *range() {} },
  })
  await assert.rejects(readAll(source), { code: 'ERR_SI_TAR_FORMAT' })
})
