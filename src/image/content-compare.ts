// Do two images hold the same bytes in a file? Invariant: where chunks of both lie alike in the file, their
// hashes answer; only chunks that differ, or are cut elsewhere, are decoded, each once.
import { asBuffer } from '../core/core.ts'
import { fileContent } from './file-content.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { chunkAt, chunkHash, type PackReader } from './pack-reader.ts'

type FileData = Pick<ManifestEntry, 'sizeBytes' | 'dataOffset' | 'dataBytes' | 'sparse'>

export interface FileIn {
  readonly pack: PackReader
  readonly file: FileData
}

/** True when both files have the same bytes, whichever of them are stored as holes. */
export async function isSameContent(a: FileIn, b: FileIn): Promise<boolean> {
  if (a.file.sizeBytes !== b.file.sizeBytes) return false
  if (!isSameMap(a.file, b.file)) return isSameStream(a, b)
  const lengthBytes = a.file.dataBytes
  for (let position = 0; position < lengthBytes;) {
    const ofA = chunkOf(a, position)
    const ofB = chunkOf(b, position)
    const isAlike = ofA.start === ofB.start && ofA.end === ofB.end
    if (isAlike && ofA.sha256().equals(ofB.sha256())) {
      position = ofA.end
      continue
    }
    const end = Math.min(ofA.end, ofB.end, lengthBytes)
    const [plainA, plainB] = [await a.pack.chunk(ofA.chunk), await b.pack.chunk(ofB.chunk)]
    const partA = plainA.subarray(position - ofA.start, end - ofA.start)
    if (!asBuffer(partA).equals(plainB.subarray(position - ofB.start, end - ofB.start)))
      return false
    position = end
  }
  return true
}

/** The chunk that holds a byte of the file's data; its ends are counted from the start of that data. */
function chunkOf({ pack, file }: FileIn, position: number) {
  const { chunks } = pack
  const chunk = chunkAt(chunks, file.dataOffset + position)
  const start = (chunks.tarOffset[chunk] ?? 0) - file.dataOffset
  const end = start + (chunks.lengthBytes[chunk] ?? 0)
  return { chunk, start, end, sha256: () => chunkHash(chunks, chunk) }
}

function isSameMap(a: FileData, b: FileData): boolean {
  const [mapA, mapB] = [a.sparse ?? [], b.sparse ?? []]
  if ((a.sparse === null) !== (b.sparse === null) || mapA.length !== mapB.length) return false
  return mapA.every(
    ({ offset, length }, i) => mapB[i]?.offset === offset && mapB[i]?.length === length,
  )
}

async function isSameStream(a: FileIn, b: FileIn): Promise<boolean> {
  const right = fileContent(b.pack, b.file)
  let rest: Uint8Array = new Uint8Array(0)
  for await (let left of fileContent(a.pack, a.file)) {
    while (left.length > 0) {
      if (rest.length === 0) rest = (await right.next()).value ?? rest
      const length = Math.min(left.length, rest.length)
      if (length === 0) return false
      if (!asBuffer(left.subarray(0, length)).equals(rest.subarray(0, length))) return false
      left = left.subarray(length)
      rest = rest.subarray(length)
    }
  }
  return true
}
