// The entries of an image while it is written: checked as a reader will check them, spooled, counted.
// Invariant: a directory that the tar repeats (a mount point) is one entry, with its last metadata.
import { EntryTree } from './entry-tree.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { encodeEntry } from './manifest-record.ts'
import { EntrySpool } from './manifest-writer.ts'

/** More notes than anybody reads are counted only. */
const NOTES_MAX = 1000

const NODE_TYPES: ReadonlySet<string> = new Set(['character', 'block', 'fifo'])

export class ImageEntries implements AsyncDisposable {
  readonly spool: EntrySpool
  readonly #tree = new EntryTree()
  readonly #notes: string[] = []
  #unshownNotes = 0
  /** Sum of file data; holes are not counted. */
  contentBytes = 0

  readonly #nodeLinks: ReadonlyMap<string, string>

  private constructor(spool: EntrySpool, nodeLinks: ReadonlyMap<string, string>) {
    this.spool = spool
    this.#nodeLinks = nodeLinks
  }

  /** `path` is a temporary file, which must not exist; `nodeLinks` as in WriteImageOptions. */
  static async open(
    path: string,
    nodeLinks: ReadonlyMap<string, string> = new Map(),
  ): Promise<ImageEntries> {
    return new ImageEntries(await EntrySpool.open(path), nodeLinks)
  }

  get count(): number {
    return this.spool.lineCount
  }

  get notes(): readonly string[] {
    if (this.#unshownNotes === 0) return this.#notes
    return [...this.#notes, `${this.#unshownNotes} more remarks are not shown`]
  }

  /** Throws ERR_SI_UNSAFE_PATH for what no reader would accept. */
  add(member: ManifestEntry): void {
    const entry = this.#linked(member)
    const { index, isRepeated } = this.#tree.add(entry)
    if (isRepeated) {
      this.spool.replace(index, encodeEntry(entry))
      return
    }
    this.spool.add(encodeEntry(entry))
    this.contentBytes += entry.dataBytes
  }

  note(text: string): void {
    if (this.#notes.length < NOTES_MAX) this.#notes.push(text)
    else this.#unshownNotes++
  }

  /** tar writes a second name of a fifo or device node as another node; here it becomes a link. */
  #linked(member: ManifestEntry): ManifestEntry {
    if (this.#nodeLinks.size === 0 || !NODE_TYPES.has(member.type)) return member
    const first = this.#nodeLinks.get(member.path.toString('latin1'))
    const target = first === undefined ? undefined : Buffer.from(first, 'latin1')
    if (target === undefined || !this.#tree.hasObject(target)) return member
    return {
      ...member,
      ...{ type: 'hardlink', linkTarget: target, deviceMajor: 0, deviceMinor: 0, xattrs: [] },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spool.close()
  }
}
