// The content of one file of an image, holes included, from its pack. Invariant: exactly sizeBytes are
// yielded. Spec: FORMAT.md §4.2.
import type { ManifestEntry } from './manifest-entry.ts'
import type { PackReader } from './pack-reader.ts'

type FileData = Pick<ManifestEntry, 'sizeBytes' | 'dataOffset' | 'sparse'>

const ZEROS = new Uint8Array(64 * 1024)

/** Parts are valid until the next is taken, and must not be written to. */
export async function* fileContent(pack: PackReader, file: FileData): AsyncGenerator<Uint8Array> {
  const extents = file.sparse ?? [{ offset: 0, length: file.sizeBytes }]
  let position = 0
  let stored = file.dataOffset
  for (const { offset, length } of extents) {
    yield* hole(offset - position)
    if (length > 0) yield* pack.range(stored, length)
    stored += length
    position = offset + length
  }
  yield* hole(file.sizeBytes - position)
}

function* hole(lengthBytes: number): Generator<Uint8Array> {
  for (let rest = lengthBytes; rest > 0; rest -= ZEROS.length) {
    yield rest < ZEROS.length ? ZEROS.subarray(0, rest) : ZEROS
  }
}
