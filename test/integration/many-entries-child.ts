// The writing and the loading of an image with very many entries, each in a process of its own, so that its memory
// can be measured. Arguments: `write` or `load`, the image's folder, the number of entries. Prints JSON.
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { EntryTableBuilder } from '../../src/deploy/entry-table-builder.ts'
import { IMAGE_FILES, readManifest, writeImage } from '../../src/image/image.ts'
import { END_OF_ARCHIVE, header } from '../unit/image/tar-fixture.ts'

const FILES_PER_FOLDER = 1000
const BLOCK_BYTES = 512
const CHECKSUM_OFFSET = 148

const [work = '', directory = '', text = ''] = process.argv.slice(2)
const count = work === 'write' ? await write(Number(text)) : await load()
const { maxRSS } = process.resourceUsage()
console.log(JSON.stringify({ count, peakRssBytes: maxRSS * 1024 }))

async function write(wanted: number): Promise<number> {
  const tar = headers(wanted)
  const source = {
    read(into: Uint8Array) {
      const room = into.subarray(0, into.length - (into.length % BLOCK_BYTES))
      let bytes = 0
      for (; bytes < room.length; bytes += BLOCK_BYTES) {
        const next = tar.next()
        if (next.done === true) break
        room.set(next.value, bytes)
      }
      return Promise.resolve(bytes)
    },
  }
  const written = await writeImage(source, {
    ...{ directory, torrentName: 'many', pieceLengthBytes: 2 ** 20, zstdLevel: 1, threads: 1 },
    header: () =>
      Promise.resolve({
        ...{ name: 'many', version: '1', createdAt: '2026-01-02T03:04:05Z' },
        source: { host: 'golden', operatingSystem: 'Test', architecture: 'x86_64', kernel: '6.1' },
        boot: { method: 'none' as const },
        ...{ layout: null, fstab: '', excludes: [], changedFiles: [] },
      }),
  })
  return written.header.entryCount
}

/** What a node does with a manifest before its first piece. */
async function load(): Promise<number> {
  const builder = new EntryTableBuilder()
  const manifest = createReadStream(join(directory, IMAGE_FILES.manifest))
  await readManifest(manifest, (entry) => builder.add(entry))
  return builder.build().count
}

/** Blocks of a tar: folders with empty files. */
function* headers(wanted: number): Generator<Uint8Array> {
  const folder = header({ name: './0000000', typeFlag: '5', mode: 0o755 })
  const file = header({ name: './0000000/some-file-0000000.conf' })
  let folderName = ''
  for (let index = 0; index < wanted; index++) {
    const isFolder = index % FILES_PER_FOLDER === 0
    if (isFolder) folderName = String(index).padStart(7, '0')
    yield isFolder
      ? withDigits(folder, [[2, folderName]])
      : withDigits(file, [
          [2, folderName],
          [20, String(index).padStart(7, '0')],
        ])
  }
  yield END_OF_ARCHIVE.subarray(0, BLOCK_BYTES)
  yield END_OF_ARCHIVE.subarray(BLOCK_BYTES)
}

/** Writes digits into the header and corrects its checksum by what they add; summing all up takes far longer. */
function withDigits(block: Buffer, digits: readonly (readonly [number, string])[]): Buffer {
  let sum = Number.parseInt(block.toString('latin1', CHECKSUM_OFFSET, CHECKSUM_OFFSET + 6), 8)
  for (const [offset, text] of digits) {
    for (let i = 0; i < text.length; i++) {
      sum += text.charCodeAt(i) - (block[offset + i] ?? 0)
      block[offset + i] = text.charCodeAt(i)
    }
  }
  block.write(sum.toString(8).padStart(6, '0'), CHECKSUM_OFFSET, 'latin1')
  return block
}
