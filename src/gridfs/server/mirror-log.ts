// What an export knows as a member of a mirror, in the hidden folder: which members are dirty, what each of
// them has missed, and what is being changed just now. Invariant: what is about to be changed is written
// down before; that survives this process. `standing` and which members are dirty survive a power cut, too;
// whether the misses may not have is told by the boot under which they were begun.
//
//     mirror/standing.json       { version, clean }: those that are not dirty
//     mirror/missed-MEMBER       the boot, then a line for each miss: KIND PATH FROM
//     mirror/changing            a path a line
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../../core/core.ts'
import { MAXIMUM_MISSES, type WireMiss, type WireStanding } from '../wire/operations.ts'
import { formatPath, parsePath } from '../path-text.ts'

const FOLDER = 'mirror'
const MISSED = 'missed-'
const ANYTHING = Buffer.alloc(0)

interface SavedStanding {
  readonly version: number
  readonly clean: readonly { readonly member: string; readonly verifier: string }[]
}

export class MirrorLog {
  readonly #folder: string
  readonly #boot: string
  readonly #changing = new Set<string>()
  #isMade = false
  /** Files of misses that have their first line. */
  readonly #begun = new Set<string>()
  #standing: WireStanding = { version: 0, clean: [] }

  /** `hidden`: the hidden folder of the export; `boot` differs after each start of the kernel. */
  constructor(hidden: string, boot: string) {
    this.#folder = join(hidden, FOLDER)
    this.#boot = boot
    const saved = readIfThere(join(this.#folder, 'standing.json'))
    if (saved !== '') {
      this.#standing = parseStanding(saved)
    }
    for (const line of linesOf(readIfThere(this.#changingFile))) this.#changing.add(line)
  }

  get standing(): WireStanding {
    return this.#standing
  }

  set standing(standing: WireStanding) {
    this.#makeFolder()
    const file = join(this.#folder, 'standing.json')
    const isNews = cleanText(standing) !== cleanText(this.#standing)
    writeFileSync(`${file}.new`, `${JSON.stringify(toSaved(standing))}\n`)
    if (isNews) synchronise(`${file}.new`)
    renameSync(`${file}.new`, file)
    if (isNews) synchronise(this.#folder)
    // Who is clean no more has missed nothing yet.
    for (const { member } of this.#standing.clean) this.#begin(member)
    for (const { member } of standing.clean) {
      this.#begun.delete(this.#missedFile(member))
      rmSync(this.#missedFile(member), { force: true })
    }
    this.#standing = standing
  }

  /** What is being changed, or was when its client went; an empty path means anything. */
  suspects(): readonly Buffer[] {
    if (this.#changing.size > MAXIMUM_MISSES) return [ANYTHING]
    return [...this.#changing].map(parsePath)
  }

  changing(path: Uint8Array): void {
    const line = formatPath(path)
    if (this.#changing.has(line) || this.#changing.size > MAXIMUM_MISSES) return
    this.#makeFolder()
    appendFileSync(this.#changingFile, `${line}\n`)
    this.#changing.add(line)
  }

  /** All members have what was being changed. */
  settled(): void {
    if (this.#changing.size === 0) return
    this.#changing.clear()
    writeFileSync(this.#changingFile, '')
  }

  note(member: Uint8Array, misses: readonly WireMiss[]): void {
    const lines = misses.map(
      ({ kind, path, from }) => `${kind} ${formatPath(path)} ${formatPath(from)}\n`,
    )
    appendFileSync(this.#begin(member), lines.join(''))
  }

  /** Some of what a member has missed, from a position on. */
  misses(member: Uint8Array, position: number) {
    const [boot, ...lines] = linesOf(readIfThere(this.#missedFile(member)))
    const misses = lines.slice(position, position + MAXIMUM_MISSES).map(parseMiss)
    const isWhole = boot === this.#boot
    return { misses, next: position + misses.length, isWhole }
  }

  /** Exports that belong to no mirror have none. */
  #makeFolder(): void {
    if (!this.#isMade) mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    this.#isMade = true
  }

  #begin(member: Uint8Array): string {
    this.#makeFolder()
    const file = this.#missedFile(member)
    if (!this.#begun.has(file) && readIfThere(file) === '') writeFileSync(file, `${this.#boot}\n`)
    this.#begun.add(file)
    return file
  }

  get #changingFile(): string {
    return join(this.#folder, 'changing')
  }

  #missedFile(member: Uint8Array): string {
    return join(this.#folder, `${MISSED}${fileName(formatPath(member))}`)
  }
}

function toSaved({ version, clean }: WireStanding): SavedStanding {
  return {
    version,
    clean: clean.map(({ member, verifier }) => ({
      member: formatPath(member),
      verifier: Buffer.from(verifier).toString('hex'),
    })),
  }
}

function parseStanding(text: string): WireStanding {
  const { version, clean } = JSON.parse(text) as SavedStanding
  return {
    version,
    clean: clean.map(({ member, verifier }) => ({
      member: parsePath(member),
      verifier: Buffer.from(verifier, 'hex'),
    })),
  }
}

const cleanText = (standing: WireStanding) => JSON.stringify(toSaved(standing).clean)

/** Text of `formatPath` as one component of a path. */
function fileName(text: string): string {
  return text.replaceAll('/', '%2F')
}

function parseMiss(line: string): WireMiss {
  const [kind = '', path = '', from = ''] = line.split(' ')
  return { kind: kind as WireMiss['kind'], path: parsePath(path), from: parsePath(from) }
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').slice(0, -1)
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return ''
    throw error
  }
}

function synchronise(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
