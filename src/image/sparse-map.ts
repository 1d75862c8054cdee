// Maps of sparse files: which byte ranges of a file are stored, in the three ways GNU tar writes them.
// Invariant: extents are ascending, disjoint, not empty, inside the file, and add up to the stored
// bytes. Spec: GNU tar manual, "Storing Sparse Files", PAX formats 0.0, 0.1 and 1.0.
import { TAR_BLOCK_BYTES, tarError } from './tar-header.ts'

export interface SparseExtent {
  readonly offset: number
  readonly length: number
}

/** Numbers in turn offset, length → extents without the empty ones. Throws ERR_SI_TAR_FORMAT. */
export function parseSparsePairs(numbers: readonly number[], tarOffset: number): SparseExtent[] {
  if (numbers.length % 2 !== 0) throw tarError(tarOffset, 'sparse map has an odd count of numbers')
  const extents: SparseExtent[] = []
  for (let i = 0; i < numbers.length; i += 2) {
    const offset = numbers[i] ?? 0
    const length = numbers[i + 1] ?? 0
    if (length > 0) extents.push({ offset, length })
  }
  return extents
}

/**
 * Reads the map of format 1.0, which stands before the data: decimal numbers each followed by a
 * newline, the first one counting the extents, padded to 512 bytes. Returns undefined while
 * `stored` does not yet hold the whole map. Throws ERR_SI_TAR_FORMAT.
 */
export function parseSparseMap(
  stored: Buffer,
  tarOffset: number,
): { readonly extents: SparseExtent[]; readonly mapBytes: number } | undefined {
  let position = 0
  const next = (): number | undefined => {
    const newline = stored.indexOf(0x0a, position)
    if (newline === -1) {
      if (stored.length - position > 20) throw tarError(tarOffset, 'sparse map is malformed')
      return undefined
    }
    const text = stored.toString('latin1', position, newline)
    const value = Number(text)
    if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
      throw tarError(tarOffset, 'sparse map is malformed')
    }
    position = newline + 1
    return value
  }
  const count = next()
  if (count === undefined) return undefined
  const numbers: number[] = []
  for (let i = 0; i < 2 * count; i++) {
    const value = next()
    if (value === undefined) return undefined
    numbers.push(value)
  }
  const mapBytes = Math.ceil(position / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES
  return { extents: parseSparsePairs(numbers, tarOffset), mapBytes }
}

/**
 * Why these extents do not describe `dataBytes` stored bytes of a file of `sizeBytes`, or undefined
 * when they do. An extent that is not the last must fill whole tar blocks: GNU tar pads it.
 */
export function sparseFault(
  extents: readonly SparseExtent[],
  sizeBytes: number,
  dataBytes: number,
): string | undefined {
  let end = 0
  let sum = 0
  for (const [index, { offset, length }] of extents.entries()) {
    if (offset < end || length <= 0) return 'sparse extents overlap or are not in order'
    if (index < extents.length - 1 && length % TAR_BLOCK_BYTES !== 0) {
      return 'sparse extent does not fill whole blocks'
    }
    end = offset + length
    sum += length
  }
  if (end > sizeBytes) return 'sparse extents reach beyond the end of the file'
  return sum === dataBytes ? undefined : 'sparse extents do not add up to the stored bytes'
}
