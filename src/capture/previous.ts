// The image that a capture may take unchanged files from. Invariant: whatever is wrong with it, the capture can
// do without it; bytes are taken from it only after their chunk matched its SHA-256.
import { createReadStream } from 'node:fs'
import { isSiError } from '../core/core.ts'
import { PackReader, readManifest, type MemberPlace } from '../image/image.ts'
import type { ImageReference } from '../repository/repository.ts'
import { createStateWriter, readState } from './capture-state.ts'
import type { FileList } from './file-list.ts'
import type { Selection } from './selection.ts'
import { countNames, findUnchanged, isSettled, type Unchanged } from './unchanged.ts'

export interface Previous extends AsyncDisposable {
  readonly image: ImageReference
  readonly unchanged: Unchanged
  readonly pack: PackReader
}

/** Undefined when the image remembers nothing, when nothing is unchanged, or when it is damaged. */
export async function openPrevious(
  image: ImageReference,
  list: FileList,
  selection: Selection,
): Promise<Previous | undefined> {
  const states = await readState(image.directory)
  if (states === undefined) return undefined
  const unchanged = findUnchanged(list, selection, states)
  if (unchanged.files === 0) return undefined
  try {
    const { chunks } = await readManifest(createReadStream(image.manifestPath), () => {})
    const pack = await PackReader.open(image.packPath, chunks)
    return { image, unchanged, pack, [Symbol.asyncDispose]: () => pack[Symbol.asyncDispose]() }
  } catch (error) {
    if (isSiError(error, 'ERR_SI_MANIFEST_FORMAT')) return undefined
    throw error
  }
}

export interface MemberMemory {
  /** To be told of every member of the tar, in order. */
  onMember(place: MemberPlace): void
  /** Idempotent. */
  close(): Promise<void>
}

/** Writes down, in the image's folder, what the next capture needs to know of this one's files. */
export function rememberMembers(
  directory: string,
  list: FileList,
  selection: Selection,
): MemberMemory {
  const writer = createStateWriter(directory)
  const nameCounts = countNames(list, selection)
  const members = selection.members()
  const find = (path: string) => {
    // Members that vanished are passed over; what tar walked by itself stands behind the last.
    for (let next = members.next(); next.done !== true; next = members.next()) {
      if (next.value.path === path) return next.value.index
    }
    return undefined
  }
  return {
    onMember({ path, start, end }) {
      const name = path.toString('latin1')
      const index = find(name)
      const sizeBytes = index === undefined ? 0 : (list.sizes[index] ?? 0)
      // Small change: what has no data is read again each time.
      if (index === undefined || sizeBytes === 0 || !isSettled(list, index)) return
      const group = list.links.get(index)
      writer.add({
        ...{ path: name, sizeBytes, start, end },
        inode: list.inodes[index] ?? 0n,
        ctimeNs: list.ctimes[index] ?? 0n,
        nameCount: group === undefined ? 1 : (nameCounts.get(group) ?? 1),
      })
    },
    close: () => writer.close(),
  }
}
