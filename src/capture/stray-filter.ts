// Takes out of the golden client's tar what no image may hold because the tree changed its shape after it was listed:
// tar was told the names below a directory that has become a symbolic link since, and read what lies behind
// the link. Invariant: all other members pass byte for byte, and every object whose type is not the
// listed one is named. Costs a second parsing of the headers; data is neither copied nor looked at.
import { formatBytesForPeople } from '../core/core.ts'
import { PathSet, TarReader, type ManifestEntry, type TarSource } from '../image/image.ts'
import type { FileList } from './file-list.ts'
import { RECORD_BYTES } from './merged-tar.ts'
import type { Selection } from './selection.ts'

/** Enough to name what matters; more only makes the manifest large. */
const NAMES_KEPT = 10_000
/** In a sentence for people. */
const NAMES_SHOWN = 10
/** Headers that lie across two reads are completed by small ones. */
const HELD_READ_BYTES = 16 * 1024
const SLASH = 0x2f

const LETTERS: Readonly<Record<ManifestEntry['type'], string>> = {
  ...{ file: 'f', directory: 'd', symlink: 'l', hardlink: '' },
  ...{ character: 'c', block: 'b', fifo: 'p' },
}

interface Range {
  readonly start: number
  readonly end: number
}

interface LeftOut {
  count: number
  /** The first of them, for people. */
  readonly names: string[]
}

export class StrayFilter implements TarSource {
  readonly #source: TarSource
  readonly #listedTypes: Pick<FileList, 'types'>
  readonly #members: ReturnType<Selection['members']>
  readonly #tar = new TarReader({
    onMember: ({ start, end }) => (this.#place = { start, end }),
    onEntry: (entry) => this.#judge(entry),
    onNote() {},
  })
  #place: Range = { start: 0, end: 0 }
  readonly #directories = new PathSet()
  /** Of members that are taken out, in latin1: nothing may be a hard link to them. */
  readonly #strays = new Set<string>()
  /** Places of strays in the source that were not passed yet. */
  readonly #ranges: Range[] = []
  /** Source offset of the first byte that was neither passed nor taken out. */
  #position = 0
  /** Bytes from `#position` on: headers that are not complete. */
  #held: Uint8Array = new Uint8Array(0)
  /** Bytes that were judged and wait for a reader. */
  #ready: Uint8Array = new Uint8Array(0)
  #passedBytes = 0
  #isEnded = false
  readonly #behindLinks: LeftOut = { count: 0, names: [] }
  readonly #linked: LeftOut = { count: 0, names: [] }
  readonly #changed = new Set<string>()
  #unnamedCount = 0

  constructor(
    source: TarSource,
    selection: Pick<Selection, 'members'>,
    list: Pick<FileList, 'types'>,
  ) {
    this.#source = source
    this.#members = selection.members()
    this.#listedTypes = list
  }

  /** Paths for people of what changed its type or was taken out; complete at the end of the stream. */
  get changedFiles(): readonly string[] {
    return [...this.#changed]
  }

  get changedCount(): number {
    return this.#changed.size + this.#unnamedCount
  }

  /** What was taken out, in sentences; complete at the end of the stream. */
  get notes(): readonly string[] {
    return [
      ...leftOutNote('their directory became something else meanwhile', this.#behindLinks),
      // tar remembers every file that it has read, and what it reads again by another name is a hard link.
      ...leftOutNote('tar had read them by the names of those already', this.#linked),
    ]
  }

  async read(into: Uint8Array): Promise<number> {
    for (;;) {
      if (this.#ready.length > 0) return this.#give(into)
      if (this.#isEnded) return 0
      const isDirect = this.#held.length === 0
      const room = isDirect ? into : new Uint8Array(Math.max(HELD_READ_BYTES, this.#held.length))
      const length = await this.#source.read(room)
      if (length === 0) {
        this.#end()
        continue
      }
      const fresh = room.subarray(0, length)
      this.#tar.push(fresh)
      const bytes = isDirect ? fresh : Buffer.concat([this.#held, fresh])
      const kept = this.#sift(bytes)
      if (!isDirect) this.#ready = bytes.subarray(0, kept)
      else if (kept > 0) return kept
    }
  }

  #give(into: Uint8Array): number {
    const given = this.#ready.subarray(0, into.length)
    into.set(given)
    this.#ready = this.#ready.subarray(given.length)
    return given.length
  }

  /** What is held belongs to an archive that was cut short: whoever reads it says so. */
  #end(): void {
    this.#isEnded = true
    const records = Math.ceil(this.#passedBytes / RECORD_BYTES) * RECORD_BYTES
    const padding = new Uint8Array(this.#strays.size > 0 ? records - this.#passedBytes : 0)
    this.#ready = Buffer.concat([this.#held, padding])
  }

  /** Moves what may pass to the beginning of `bytes`, which lie at `#position`; returns its length. */
  #sift(bytes: Uint8Array): number {
    const start = this.#position
    const decided = this.#tar.undecidedFrom
    let [kept, at] = [0, start]
    const keepUntil = (end: number) => {
      if (kept !== at - start) bytes.copyWithin(kept, at - start, end - start)
      kept += end - at
    }
    for (let range = this.#ranges[0]; range !== undefined; range = this.#ranges[0]) {
      keepUntil(Math.max(at, range.start))
      at = Math.min(range.end, decided)
      if (range.end > decided) break
      this.#ranges.shift()
    }
    keepUntil(decided)
    this.#held = bytes.slice(decided - start)
    this.#position = decided
    this.#passedBytes += kept
    return kept
  }

  #judge(entry: ManifestEntry): void {
    const { type, path, linkTarget } = entry
    const slash = path.lastIndexOf(SLASH)
    const isBelowDirectory = slash === -1 || this.#directories.has(path.subarray(0, slash))
    const isLinkToStray =
      type === 'hardlink' &&
      this.#strays.size > 0 &&
      this.#strays.has(linkTarget?.toString('latin1') ?? '')
    const listed = this.#listedType(path.toString('latin1'))
    if (!isBelowDirectory || isLinkToStray) {
      this.#strays.add(path.toString('latin1'))
      this.#ranges.push(this.#place)
      this.#name(path)
      const leftOut = isBelowDirectory ? this.#linked : this.#behindLinks
      if (leftOut.count++ < NAMES_SHOWN) leftOut.names.push(forPeople(path))
      return
    }
    if (type === 'directory') this.#directories.add(path)
    if (listed !== undefined && type !== 'hardlink' && LETTERS[type] !== listed) this.#name(path)
  }

  /** As find's letter; undefined for what tar walked to by itself. */
  #listedType(path: string): string | undefined {
    for (let next = this.#members.next(); next.done !== true; next = this.#members.next()) {
      if (next.value.path !== path) continue // it vanished
      return String.fromCharCode(this.#listedTypes.types[next.value.index] ?? 0)
    }
    return undefined
  }

  #name(path: Uint8Array): void {
    if (this.#changed.size < NAMES_KEPT) this.#changed.add(forPeople(path))
    else this.#unnamedCount++
  }
}

function forPeople(path: Uint8Array): string {
  return `/${formatBytesForPeople(path)}`
}

function leftOutNote(why: string, { count, names }: LeftOut): string[] {
  if (count === 0) return []
  const more = count > names.length ? [`… and ${count - names.length} more`] : []
  return [`Not captured, because ${why}: ${[...names, ...more].join(' ')}`]
}
