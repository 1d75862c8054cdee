// Walks a list of files by name: a directory, then its content, names in the order of their bytes.
// Invariant: memory beside the list is eight bytes an object and the path that the walk is at.
import type { FileList } from './file-list.ts'

/** Children of each object, sorted; made once, walked any number of times. */
export interface SortedTree {
  readonly list: FileList
  /** Objects by parent; those of parent p from starts[p] to starts[p + 1]. */
  readonly children: Uint32Array
  readonly starts: Uint32Array
}

export function sortTree(list: FileList): SortedTree {
  const { count, parents, names, nameStarts } = list
  const starts = new Uint32Array(count + 1)
  const add = (column: Uint32Array, index: number, value: number) => {
    const before = column[index] ?? 0
    column[index] = before + value
    return before
  }
  for (let index = 1; index < count; index++) add(starts, (parents[index] ?? 0) + 1, 1)
  for (let index = 0; index < count; index++) add(starts, index + 1, starts[index] ?? 0)
  const children = new Uint32Array(Math.max(0, count - 1))
  const filled = starts.slice()
  for (let index = 1; index < count; index++) children[add(filled, parents[index] ?? 0, 1)] = index
  const compare = (a: number, b: number): number => {
    let [at, other] = [nameStarts[a] ?? 0, nameStarts[b] ?? 0]
    const [end, otherEnd] = [nameStarts[a + 1] ?? 0, nameStarts[b + 1] ?? 0]
    while (at < end && other < otherEnd) {
      const difference = (names[at++] ?? 0) - (names[other++] ?? 0)
      if (difference !== 0) return difference
    }
    return end - at - (otherEnd - other)
  }
  for (let parent = 0; parent < count; parent++) {
    const group = children.subarray(starts[parent], starts[parent + 1])
    if (group.length > 1) group.sort(compare)
  }
  return { list, children, starts }
}

interface Level {
  /** Position in `children` of the next child, and behind the last one. */
  next: number
  readonly end: number
  readonly prefix: string
}

/** A cursor: `next()` until false; the fields describe the object that it stands at. */
export class TreeWalk {
  readonly #tree: SortedTree
  readonly #levels: Level[] = []
  #isBegun = false
  #isSkipping = false
  index = 0
  /** As latin1 text without a slash before it; empty for the root. */
  path = ''
  name = ''

  constructor(tree: SortedTree) {
    this.#tree = tree
  }

  /** 0 for the root. */
  get depth(): number {
    return this.#levels.length
  }

  /** The next object is not one below the present one. */
  skip(): void {
    this.#isSkipping = true
  }

  next(): boolean {
    if (!this.#isBegun) {
      this.#isBegun = true
      return true
    }
    if (!this.#isSkipping) this.#enter()
    this.#isSkipping = false
    for (;;) {
      const level = this.#levels.at(-1)
      if (level === undefined) return false
      if (level.next < level.end) {
        this.#moveTo(this.#tree.children[level.next++] ?? 0, level.prefix)
        return true
      }
      this.#levels.pop()
    }
  }

  #enter(): void {
    const { starts } = this.#tree
    const [next, end] = [starts[this.index] ?? 0, starts[this.index + 1] ?? 0]
    if (next === end) return
    this.#levels.push({ next, end, prefix: this.path === '' ? '' : `${this.path}/` })
  }

  #moveTo(index: number, prefix: string): void {
    const { names, nameStarts } = this.#tree.list
    this.index = index
    this.name = names.toString('latin1', nameStarts[index], nameStarts[index + 1])
    this.path = prefix + this.name
  }
}
