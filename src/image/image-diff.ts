// What one image has that another has not: files added, removed, changed, and the bytes that a machine with
// the first would have to fetch. Invariant: packs are read only where chunk hashes cannot tell.
import { createReadStream } from 'node:fs'
import { throwIfAborted } from '../core/core.ts'
import { isSameContent } from './content-compare.ts'
import { CHANGES, entryChanges, type Change, type EntryFacts } from './entry-changes.ts'
import type { EntryType, ManifestEntry } from './manifest-entry.ts'
import { readManifest, type Manifest } from './manifest-reader.ts'
import { chunkHash, PackReader } from './pack-reader.ts'

export interface ImagePaths {
  readonly manifestPath: string
  readonly packPath: string
}

export interface Difference {
  readonly kind: 'added' | 'removed' | 'changed'
  readonly path: Buffer
  readonly type: EntryType
  /** Of the file in the second image; of a removed one in the first. */
  readonly sizeBytes: number
  /** What changed; empty for what was added or removed. */
  readonly changes: readonly Change[]
  /** Both states of what changed; null where there is none. */
  readonly before: EntryFacts | null
  readonly after: EntryFacts | null
}

export interface ImageDiff {
  /** By path, in the order of bytes. */
  readonly differences: readonly Difference[]
  readonly unchangedCount: number
  /** Packed bytes of the second image's chunks that the first has not. */
  readonly fetchBytes: number
  readonly packBytes: number
}

/** A path that both images have. */
interface Pair {
  readonly path: Buffer
  readonly before: EntryFacts
  readonly after: EntryFacts
  readonly changes: readonly Change[]
}

/**
 * Compares two images. Throws ERR_SI_MANIFEST_FORMAT, ERR_SI_INTEGRITY when a chunk that has to be
 * decoded is damaged, ERR_SI_ABORTED.
 */
export async function diffImages(
  a: ImagePaths,
  b: ImagePaths,
  signal?: AbortSignal,
): Promise<ImageDiff> {
  const gone = new Map<string, EntryFacts>()
  const before = await readManifest(createReadStream(a.manifestPath), (entry) =>
    gone.set(keyOf(entry), entry),
  )
  throwIfAborted(signal)
  const differences: Difference[] = []
  const pairs: Pair[] = []
  let unchangedCount = 0
  const after = await readManifest(createReadStream(b.manifestPath), (entry) => {
    const key = keyOf(entry)
    const old = gone.get(key)
    if (old === undefined) {
      differences.push(single('added', entry.path, entry))
      return
    }
    gone.delete(key)
    const changes = entryChanges(old, entry)
    const hasContent = old.type === 'file' && entry.type === 'file'
    if (hasContent || changes.length > 0) {
      pairs.push({ path: entry.path, before: old, after: entry, changes })
    } else unchangedCount++
  })
  for (const [key, entry] of gone) {
    differences.push(single('removed', Buffer.from(key, 'latin1'), entry))
  }
  await using packOfA = await PackReader.open(a.packPath, before.chunks)
  await using packOfB = await PackReader.open(b.packPath, after.chunks)
  for (const pair of pairs) {
    throwIfAborted(signal)
    const isSame = await hasSameContent(pair, packOfA, packOfB)
    if (isSame && pair.changes.length === 0) unchangedCount++
    else differences.push(changed(pair, isSame ? [] : ['content']))
  }
  differences.sort((x, y) => x.path.compare(y.path))
  const fetchBytes = missingBytes(before, after)
  return { differences, unchangedCount, fetchBytes, packBytes: after.header.packBytes }
}

/** The bytes of a path, a character each: exact, and cheaper to look up than buffers. */
function keyOf(entry: ManifestEntry): string {
  return entry.path.toString('latin1')
}

function hasSameContent(
  { before, after }: Pair,
  packOfA: PackReader,
  packOfB: PackReader,
): boolean | Promise<boolean> {
  if (before.type !== 'file' || after.type !== 'file') return true
  return isSameContent({ pack: packOfA, file: before }, { pack: packOfB, file: after })
}

function single(kind: 'added' | 'removed', path: Buffer, entry: EntryFacts): Difference {
  const { type, sizeBytes } = entry
  const [before, after] = kind === 'added' ? [null, entry] : [entry, null]
  return { kind, path, type, sizeBytes, changes: [], before, after }
}

function changed(
  { path, before, after, changes }: Pair,
  furtherChanges: readonly Change[],
): Difference {
  const { type, sizeBytes } = after
  const all = new Set([...changes, ...furtherChanges])
  return {
    ...{ kind: 'changed', path, type, sizeBytes, before, after },
    changes: CHANGES.filter((change) => all.has(change)),
  }
}

/** A chunk that the second image holds twice is fetched once. */
function missingBytes(a: Manifest, b: Manifest): number {
  const known = new Set<string>()
  for (let i = 0; i < a.chunks.count; i++) known.add(chunkHash(a.chunks, i).toString('latin1'))
  let bytes = 0
  for (let i = 0; i < b.chunks.count; i++) {
    const key = chunkHash(b.chunks, i).toString('latin1')
    if (known.has(key)) continue
    known.add(key)
    bytes += b.chunks.packedBytes[i] ?? 0
  }
  return bytes
}
