// The locks of an export, written down so that the server's next process knows them. Invariant: a lock is in the file before its
// owner is told that it has it; a last line that was cut off was told to nobody.
//
// A line of JSON for each change: the file's key and all that is held of it now; the last line of a file counts.
import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { errnoOf } from '../../core/core.ts'
import { type HeldLock } from '../lock-table.ts'

/** Beyond this, and twice what is held, the file is written anew. */
const LONG_BYTES = 2 ** 20

export class LockJournal {
  readonly #file: string
  readonly #held = new Map<string, string>()
  #fd: number
  #lengthBytes = 0
  #shortestBytes = 0
  #isClosed = false

  /** The file is made if need be; what it holds is taken up. */
  constructor(file: string) {
    this.#file = file
    for (const line of readLines(file)) this.#keep(line)
    this.#fd = this.#writeAnew()
  }

  /** What earlier processes have granted. */
  *restored(): Generator<readonly [file: string, held: readonly HeldLock[]]> {
    for (const line of this.#held.values()) yield parseLine(line)
  }

  note(file: string, held: readonly HeldLock[]): void {
    if (this.#isClosed) return
    const line = formatLine(file, held)
    this.#keep(line)
    this.#lengthBytes += writeSync(this.#fd, `${line}\n`)
    if (this.#lengthBytes <= Math.max(LONG_BYTES, 2 * this.#shortestBytes)) return
    closeSync(this.#fd)
    this.#fd = this.#writeAnew()
  }

  /** From now on nothing is written down: what is held stays so for the next process. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    closeSync(this.#fd)
  }

  #keep(line: string): void {
    const [file, held] = parseLine(line)
    if (held.length === 0) this.#held.delete(file)
    else this.#held.set(file, line)
  }

  #writeAnew(): number {
    const text = [...this.#held.values()].map((line) => `${line}\n`).join('')
    writeFileSync(`${this.#file}.new`, text, { mode: 0o600 })
    renameSync(`${this.#file}.new`, this.#file)
    this.#lengthBytes = this.#shortestBytes = Buffer.byteLength(text)
    return openSync(this.#file, 'a')
  }
}

/** Whole lines. */
function readLines(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(0, -1)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

/** JSON has no whole numbers of 64 bits. */
function formatLine(file: string, held: readonly HeldLock[]): string {
  return JSON.stringify([
    file,
    held.map(({ owner, type, start, end, pid }) => [owner, type, `${start}`, `${end}`, pid]),
  ])
}

type Row = readonly [owner: string, type: HeldLock['type'], start: string, end: string, pid: number]

function parseLine(line: string): readonly [file: string, held: readonly HeldLock[]] {
  const [file, rows] = JSON.parse(line) as readonly [string, readonly Row[]]
  const held = rows.map(([owner, type, start, end, pid]) => ({
    ...{ owner, type, start: BigInt(start), end: BigInt(end), pid },
  }))
  return [file, held]
}
