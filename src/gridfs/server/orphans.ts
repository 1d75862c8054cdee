// Files whose last name was removed while a client has them open. The kernel would forget them with this
// process, so they get a name in a hidden folder of the export until nobody has them open any more.
import { linkSync, mkdirSync, readdirSync, renameSync, unlinkSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { errnoOf } from '../../core/core.ts'
import { latin1, type ObjectTable } from './object-table.ts'

/** In the root of an export; clients neither see it nor reach it. */
export const HIDDEN_FOLDER = '.swarmimager-gridfs'

export class Orphans {
  readonly #folder: string
  readonly #objects: ObjectTable
  /** How often each file is open, by all clients. */
  readonly #openCounts = new Map<string, number>()
  readonly #orphans = new Map<string, string>()

  constructor(directory: string, objects: ObjectTable) {
    this.#folder = join(directory, HIDDEN_FOLDER)
    this.#objects = objects
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    for (const entry of readdirSync(this.#folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) this.#find(entry.name)
    }
  }

  opened(reference: Uint8Array): void {
    const key = latin1(reference)
    this.#openCounts.set(key, (this.#openCounts.get(key) ?? 0) + 1)
  }

  closed(reference: Uint8Array): void {
    const key = latin1(reference)
    const count = (this.#openCounts.get(key) ?? 0) - 1
    if (count > 0) this.#openCounts.set(key, count)
    else {
      this.#openCounts.delete(key)
      this.#drop(key)
    }
  }

  /** Removes what an earlier process kept for clients that have not come back. */
  dropUnclaimed(): void {
    for (const key of [...this.#orphans.keys()]) if (!this.#openCounts.has(key)) this.#drop(key)
  }

  /** Whether removing this file's last name must keep the file. */
  isNeeded(reference: Uint8Array, linkCount: number): boolean {
    return linkCount === 1 && this.#openCounts.has(latin1(reference))
  }

  /** Removes a file's name by giving it one here. */
  take(reference: Uint8Array, path: Buffer): void {
    renameSync(path, this.#pathOf(reference))
    this.#orphans.set(latin1(reference), this.#pathOf(reference))
  }

  /** Gives a file that is about to be replaced a name here. */
  link(reference: Uint8Array, path: Buffer): void {
    linkSync(path, this.#pathOf(reference))
    this.#orphans.set(latin1(reference), this.#pathOf(reference))
  }

  /** Links that only exist here. */
  hiddenLinks(reference: Uint8Array): number {
    return this.#orphans.has(latin1(reference)) ? 1 : 0
  }

  #find(name: string): void {
    const { reference } = this.#objects.adoptPath(join(this.#folder, name))
    this.#orphans.set(latin1(reference), join(this.#folder, name))
  }

  #drop(key: string): void {
    const path = this.#orphans.get(key)
    if (path === undefined) return
    this.#orphans.delete(key)
    try {
      unlinkSync(path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }

  #pathOf(reference: Uint8Array): string {
    return join(this.#folder, createHash('sha256').update(reference).digest('hex').slice(0, 32))
  }
}
