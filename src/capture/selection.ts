// What of the golden client's tree goes into the image, in the order of the archive. Invariant: the order
// depends on names only, so two captures of an unchanged tree are the same archive; a name is given to
// tar only after those of its directories.
import { formatBytesForPeople } from '../core/core.ts'
import { TYPE_DIRECTORY, TYPE_SOCKET, type FileList } from './file-list.ts'
import type { Filter, RuleText } from './filter-rules.ts'
import { sortTree, TreeWalk, type SortedTree } from './tree-walk.ts'

/** What one rule keeps out, or what goes in. */
export interface Amount {
  readonly files: number
  /** Data of regular files; holes and further names of one file are not counted. */
  readonly bytes: number
}

export interface Selection {
  readonly captured: Amount
  /** Rules that keep something out, in the order of the list. */
  readonly excluded: readonly (Amount & { readonly rule: RuleText })[]
  /** A few of the sockets, for people, and how many there are. */
  readonly sockets: readonly string[]
  readonly socketCount: number
  /** What the archive will take, within a few percent. */
  readonly tarBytes: number
  /** Fifos and devices that are further names of an earlier one: path → its path, in latin1. */
  readonly nodeLinks: ReadonlyMap<string, string>
  /** Member names of directories with paths too long for a name list: tar walks them itself. */
  readonly deep: readonly Buffer[]
  /** Member names below `deep` that stay out. */
  readonly deepExcluded: readonly Buffer[]
  /** What tar is told by name, in the order of the archive; paths in latin1. */
  members(): Generator<Member>
  /** Their names for `tar --null -T -`, each ended by NUL, in portions, but for those to be left out. */
  names(isLeftOut?: (index: number) => boolean): Generator<Buffer>
}

export interface Member {
  /** In the list of files. */
  readonly index: number
  /** Empty for the root. */
  readonly path: string
}

/** tar opens a name of the list in one call: PATH_MAX without its NUL, limits.h; NAME_MAX. */
const MEMBER_MAX_BYTES = 4095
const NAME_MAX_BYTES = 255
const SOCKETS_SHOWN = 10
const PORTION_BYTES = 64 * 1024

const IN = -1
/** Kept out by no rule: a socket, or something below nothing that is captured. */
const UNFIT = -2

const ARCHIVED = new Set([...'fdlpbc'].map((letter) => letter.charCodeAt(0)))
const NODES = new Set([...'pbc'].map((letter) => letter.charCodeAt(0)))

/** Judges every object of the list; `filter` is asked about those whose parents are in. */
export function selectFiles(list: FileList, filter: Filter): Selection {
  const tree = sortTree(list)
  const verdicts = new Int32Array(list.count)
  const tally = new Tally(list, filter.rules)
  const deep: Buffer[] = []
  const deepExcluded: Buffer[] = []
  let deepDepth = Infinity
  const walk = new TreeWalk(tree)
  while (walk.next()) {
    const { index, path, depth } = walk
    const type = list.types[index] ?? 0
    const isDirectory = type === TYPE_DIRECTORY
    const inherited = index === 0 ? IN : (verdicts[list.parents[index] ?? 0] ?? IN)
    let verdict = inherited
    if (verdict === IN && index > 0) verdict = filter.excludedBy(path, walk.name, isDirectory)
    if (verdict === IN && !ARCHIVED.has(type)) verdict = UNFIT
    verdicts[index] = verdict
    if (depth <= deepDepth) deepDepth = Infinity
    const isInDeep = deepDepth < Infinity
    tally.add(walk, verdict, isInDeep)
    if (isInDeep) {
      if (verdict >= 0 && inherited === IN) deepExcluded.push(memberOf(path))
    } else if (verdict === IN && isDirectory && !fitsBelow(path)) {
      deep.push(memberOf(path))
      deepDepth = depth
    }
  }
  const members = () => walkMembers(tree, verdicts)
  const names = (isLeftOut = (_index: number) => false) => memberNames(members(), isLeftOut)
  return { ...tally.total(), deep, deepExcluded, members, names }
}

function memberOf(path: string): Buffer {
  return Buffer.from(path === '' ? '.' : `./${path}`, 'latin1')
}

/** Whether every member name of a directory's own content is short enough. */
function fitsBelow(path: string): boolean {
  return './'.length + path.length + 1 + NAME_MAX_BYTES <= MEMBER_MAX_BYTES
}

function* walkMembers(tree: SortedTree, verdicts: Int32Array): Generator<Member> {
  const { types } = tree.list
  const walk = new TreeWalk(tree)
  while (walk.next()) {
    const { index, path } = walk
    if (verdicts[index] !== IN) {
      walk.skip()
      continue
    }
    if (types[index] === TYPE_DIRECTORY && !fitsBelow(path)) {
      walk.skip() // given to tar apart, with its content
      continue
    }
    yield { index, path }
  }
}

function* memberNames(
  members: Iterable<Member>,
  isLeftOut: (index: number) => boolean,
): Generator<Buffer> {
  const portion = Buffer.allocUnsafe(PORTION_BYTES)
  let end = 0
  for (const { index, path } of members) {
    if (isLeftOut(index)) continue
    if (end + path.length + 3 > portion.length) {
      yield Buffer.from(portion.subarray(0, end))
      end = 0
    }
    end += portion.write(index === 0 ? '.' : `./${path}`, end, 'latin1')
    portion[end++] = 0
  }
  yield Buffer.from(portion.subarray(0, end))
}

const BLOCK_BYTES = 512
/** Header, extended header and its body. */
const HEADERS_BYTES = 3 * BLOCK_BYTES

class Tally {
  readonly #list: FileList
  readonly #rules: readonly RuleText[]
  readonly #out: { files: number; bytes: number }[]
  readonly #in = { files: 0, bytes: 0 }
  readonly #sockets: string[] = []
  readonly #nodeLinks = new Map<string, string>()
  /** Objects with several names of which one was captured: group → its path, kept for nodes only. */
  readonly #captured = new Map<number, string>()
  #socketCount = 0
  #tarBytes = 0

  constructor(list: FileList, rules: readonly RuleText[]) {
    this.#list = list
    this.#rules = rules
    this.#out = rules.map(() => ({ files: 0, bytes: 0 }))
  }

  add({ index, path }: TreeWalk, verdict: number, isInDeep: boolean): void {
    const { types, dataBytes, links } = this.#list
    const type = types[index] ?? 0
    if (verdict === UNFIT) {
      if (type === TYPE_SOCKET) this.#addSocket(path)
      return
    }
    const amount = verdict === IN ? this.#in : this.#out[verdict]
    if (amount === undefined) return
    amount.files++
    const group = links.get(index)
    const first = verdict === IN && group !== undefined ? this.#captured.get(group) : undefined
    if (first === undefined) amount.bytes += dataBytes[index] ?? 0
    if (verdict !== IN) return
    const bytes = first === undefined ? (dataBytes[index] ?? 0) : 0
    this.#tarBytes += HEADERS_BYTES + Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
    if (group === undefined) return
    const isNode = NODES.has(type)
    // What tar walks by itself comes last: nothing may be a link to it.
    if (isNode && isInDeep) return
    if (first === undefined) this.#captured.set(group, isNode ? path : '')
    else if (isNode) this.#nodeLinks.set(path, first)
  }

  total() {
    const excluded = this.#out.map((amount, rule) => ({ ...amount, rule: this.#rules[rule] ?? '' }))
    return {
      captured: this.#in,
      excluded: excluded.filter(({ files }) => files > 0),
      sockets: this.#sockets,
      socketCount: this.#socketCount,
      tarBytes: this.#tarBytes,
      nodeLinks: this.#nodeLinks,
    }
  }

  #addSocket(path: string): void {
    this.#socketCount++
    if (this.#sockets.length >= SOCKETS_SHOWN) return
    this.#sockets.push(`/${formatBytesForPeople(Buffer.from(path, 'latin1'))}`)
  }
}
