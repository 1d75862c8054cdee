// The entries of an image while it is written: checked as a reader will check them, spooled, counted.
// Invariant: a directory that the tar repeats (a mount point) is one entry, with its last metadata.
import { EntryTree } from './entry-tree.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { encodeEntry } from './manifest-record.ts'
import { EntrySpool } from './manifest-writer.ts'

/** More notes than anybody reads are counted only. */
const NOTES_MAX = 1000

export class ImageEntries implements AsyncDisposable {
  readonly spool: EntrySpool
  readonly #tree = new EntryTree()
  readonly #notes: string[] = []
  #unshownNotes = 0
  /** Sum of file data; holes are not counted. */
  contentBytes = 0

  private constructor(spool: EntrySpool) {
    this.spool = spool
  }

  /** `path` is a temporary file, which must not exist. */
  static async open(path: string): Promise<ImageEntries> {
    return new ImageEntries(await EntrySpool.open(path))
  }

  get count(): number {
    return this.spool.lineCount
  }

  get notes(): readonly string[] {
    if (this.#unshownNotes === 0) return this.#notes
    return [...this.#notes, `${this.#unshownNotes} more remarks are not shown`]
  }

  /** Throws ERR_SI_UNSAFE_PATH for what no reader would accept. */
  add(entry: ManifestEntry): void {
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spool.close()
  }
}
