// What the interoperability tests send around: a torrent of several files whose boundaries are padded to
// pieces (BEP 47), with an odd last piece; and trees of its files that hold some of the pieces. Clients
// that know nothing of pads keep them as files of zeros, so the trees have those, too.
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
  type Metainfo,
} from '../../src/torrent/torrent.ts'
import { noise } from './swarm-lab.ts'

export interface Sample {
  readonly metainfo: Metainfo
  readonly torrentPath: string
  /** All files and pads, one after the other. */
  readonly content: Buffer
}

const PIECE_BYTES = 2 ** 18

/** 9 MiB in 38 pieces. */
const FILES = [
  { path: ['alpha.bin'], lengthBytes: 3 * 2 ** 20 + 12_345 },
  { path: ['deep', 'er', 'beta.bin'], lengthBytes: 4 * 2 ** 20 },
  { path: ['tiny'], lengthBytes: 1 },
  { path: ['gamma.bin'], lengthBytes: 1_500_777 },
]

export async function writeSample(directory: string, tracker: string): Promise<Sample> {
  const files = FILES.flatMap((file, index) => {
    const padBytes = index === FILES.length - 1 ? 0 : -file.lengthBytes & (PIECE_BYTES - 1)
    const pad = { path: ['.pad', `${index}`], lengthBytes: padBytes, isPad: true }
    return padBytes === 0 ? [file] : [file, pad]
  })
  const parts = files.map((file, index) =>
    'isPad' in file ? Buffer.alloc(file.lengthBytes) : noise(file.lengthBytes, index),
  )
  const content = Buffer.concat(parts)
  const hashes: Buffer[] = []
  for (let at = 0; at < content.length; at += PIECE_BYTES) {
    hashes.push(
      createHash('sha1')
        .update(content.subarray(at, at + PIECE_BYTES))
        .digest(),
    )
  }
  const pieceHashes = Buffer.concat(hashes)
  const infoBytes = encodeInfo({
    name: 'sample',
    pieceLengthBytes: PIECE_BYTES,
    files,
    pieceHashes,
  })
  const torrentBytes = encodeMetainfo({ infoBytes, trackers: [[tracker]] })
  const torrentPath = join(directory, 'sample.torrent')
  await writeFile(torrentPath, torrentBytes)
  return { metainfo: parseMetainfo(torrentBytes), torrentPath, content }
}

/** Where a client that was told `directory` keeps the files. */
export function treeOf(sample: Sample, directory: string): string {
  return join(directory, sample.metainfo.name)
}

/** Files of full length below `directory`, with zeros for the pieces that are not `held`. */
export async function writeTree(
  sample: Sample,
  directory: string,
  held: (pieceIndex: number) => boolean,
): Promise<void> {
  const content = Buffer.from(sample.content)
  for (let index = 0; index < sample.metainfo.pieceCount; index++) {
    if (!held(index)) content.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES).fill(0)
  }
  for (const { path, offsetBytes, lengthBytes } of sample.metainfo.files) {
    const file = join(treeOf(sample, directory), ...path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content.subarray(offsetBytes, offsetBytes + lengthBytes))
  }
}

/** Paths of files below `directory` that are not what they should be; pads are nobody's business. */
export async function findDifferences(sample: Sample, directory: string): Promise<string[]> {
  const different: string[] = []
  for (const { path, offsetBytes, lengthBytes, isPad } of sample.metainfo.files) {
    if (isPad) continue
    const expected = sample.content.subarray(offsetBytes, offsetBytes + lengthBytes)
    const found = await readFile(join(treeOf(sample, directory), ...path)).catch(() => undefined)
    if (found?.equals(expected) !== true) different.push(path.join('/'))
  }
  return different
}
