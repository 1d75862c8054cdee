// Which files are as the last capture found them. Invariant: a file counts as unchanged only when its inode,
// its change time to the nanosecond and its size are the same; whoever writes to a file or changes its
// attributes cannot keep the kernel from setting the change time (inode(7)). All names of one file are
// unchanged together or not at all, because tar writes its data once.
import { TYPE_FILE, type FileList } from './file-list.ts'
import type { FileState } from './capture-state.ts'
import type { Selection } from './selection.ts'

/** Places of unchanged members in the tar of the image before, by index of the list. */
export interface Unchanged {
  readonly files: number
  readonly bytes: number
  has(index: number): boolean
  place(index: number): { readonly start: number; readonly end: number } | undefined
}

/** What a clock of a few milliseconds' ticks cannot tell from a change just before the listing. */
const SETTLED_NS = 2_000_000_000n

/** Whether a later change of the object would certainly change its change time. */
export function isSettled(list: FileList, index: number): boolean {
  return (list.ctimes[index] ?? 0n) < list.listedAtNs - SETTLED_NS
}

/** How many selected names each file has that has several: first index → number. */
export function countNames(list: FileList, selection: Pick<Selection, 'members'>) {
  const counts = new Map<number, number>()
  for (const { index } of selection.members()) {
    const group = list.links.get(index)
    if (group !== undefined) counts.set(group, (counts.get(group) ?? 0) + 1)
  }
  return counts
}

export function findUnchanged(
  list: FileList,
  selection: Pick<Selection, 'members'>,
  states: ReadonlyMap<string, FileState>,
): Unchanged {
  const starts = new Float64Array(list.count).fill(-1)
  const ends = new Float64Array(list.count)
  const nameCounts = countNames(list, selection)
  const found = new Map<number, number[]>()
  for (const { index, path } of selection.members()) {
    const state = states.get(path)
    if (state === undefined || !isSame(list, index, state)) continue
    const group = list.links.get(index)
    if (state.nameCount !== (group === undefined ? 1 : nameCounts.get(group))) continue
    starts[index] = state.start
    ends[index] = state.end
    if (group !== undefined) found.set(group, [...(found.get(group) ?? []), index])
  }
  for (const [group, indexes] of found) {
    if (indexes.length === nameCounts.get(group)) continue
    for (const index of indexes) starts[index] = -1
  }
  const has = (index: number) => (starts[index] ?? -1) >= 0
  let [files, bytes] = [0, 0]
  for (let index = 0; index < list.count; index++) {
    if (!has(index)) continue
    files++
    bytes += (ends[index] ?? 0) - (starts[index] ?? 0)
  }
  return {
    ...{ files, bytes, has },
    place: (index) =>
      has(index) ? { start: starts[index] ?? 0, end: ends[index] ?? 0 } : undefined,
  }
}

function isSame(list: FileList, index: number, state: FileState): boolean {
  return (
    list.types[index] === TYPE_FILE &&
    list.inodes[index] === state.inode &&
    list.ctimes[index] === state.ctimeNs &&
    list.sizes[index] === state.sizeBytes
  )
}
