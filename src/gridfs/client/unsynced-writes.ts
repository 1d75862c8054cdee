// What the server has answered and may not have on its disk: kept here until it has, and written again when
// the server's machine restarted in between (its verifier is another one). Bounded: who wrote longest ago is
// synchronised unasked. What cannot be written again is told as EIO to whoever has the file open.
import { errnoOf } from '../../core/core.ts'
import { errnoNumber, FuseError } from '../fuse/errno.ts'
import { type FileName, type MountState } from './mount-state.ts'
import { keyOf } from './node-table.ts'
import { type Volume } from './volume.ts'

export type UnsyncedChange =
  | { readonly kind: 'write'; readonly offset: number; readonly data: Buffer }
  | { readonly kind: 'resize'; readonly sizeBytes: number }
  /** The server alone knows the content, or an earlier process of the mount did. */
  | { readonly kind: 'unknown' }

interface UnsyncedFile extends FileName {
  changes: UnsyncedChange[]
  changedMs: number
}

/** Carries a call out before all others. */
export type CallFirst = Volume['call']

export interface UnsyncedOptions {
  readonly state: MountState
  readonly call: Volume['call']
  readonly onNote: (text: string) => void
}

/** From here on a file is synchronised unasked; at the limit writes wait for that. */
const SOFT_LIMIT_BYTES = 32 * 2 ** 20
const LIMIT_BYTES = 64 * 2 ** 20
/** The server's kernel writes by itself after half a minute: then there is no use in keeping anything. */
const IDLE_MS = 30_000
const ROUND_MS = 10_000
/** What remembering a change costs besides its data: a program may write byte by byte. */
const CHANGE_BYTES = 512

export class UnsyncedWrites {
  readonly #options: UnsyncedOptions
  /** By reference, who changed first foremost. */
  readonly #files = new Map<string, UnsyncedFile>()
  readonly #timer: NodeJS.Timeout
  #bytes = 0
  #committing: Promise<void> | undefined

  constructor(options: UnsyncedOptions) {
    this.#options = options
    for (const file of options.state.unsynced.values()) this.add(file, { kind: 'unknown' })
    const commitIdle = () => void this.#commitIdle().catch(() => {}) // next time
    this.#timer = setInterval(commitIdle, ROUND_MS).unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Settles when there is room for more. Throws ETIMEDOUT, ENOTCONN. */
  async room(): Promise<void> {
    while (this.#bytes >= LIMIT_BYTES) await this.#commitOldest()
  }

  /** The server has done this. */
  add({ nodeId, reference }: FileName, change: UnsyncedChange): void {
    const key = keyOf(reference)
    const file = this.#files.get(key) ?? { nodeId, reference, changes: [], changedMs: 0 }
    this.#files.set(key, file)
    this.#options.state.changed(file)
    file.changes.push(change)
    file.changedMs = performance.now()
    this.#bytes += bytesOf(change)
    // Without a connection it is tried again, at the latest when writes wait.
    if (this.#bytes >= SOFT_LIMIT_BYTES) this.#commitOldest().catch(() => {})
  }

  /** What was changed before is on the disk when `sync` has succeeded. */
  async synced(reference: Uint8Array, sync: () => Promise<unknown>): Promise<void> {
    const file = this.#files.get(keyOf(reference))
    const last = file?.changes.at(-1)
    await sync()
    if (file !== undefined && last !== undefined) this.#drop(file, file.changes.indexOf(last) + 1)
  }

  /** Writes all of it again. Rejects when the connection breaks: then it is to be called again. */
  async restore(call: CallFirst): Promise<void> {
    for (const file of [...this.#files.values()]) {
      try {
        for (const change of file.changes) await restoreChange(file, change, call)
      } catch (error) {
        if (isNoConnection(error)) throw error
        this.#fail(file, error)
      }
    }
  }

  #fail(file: UnsyncedFile, error: unknown): void {
    this.#drop(file, file.changes.length)
    if (this.#options.state.fail(file.nodeId, errnoNumber(error))) return
    this.#options.onNote(
      `a file that was written and closed is not whole on the server: ${String(error)}`,
    )
  }

  #drop(file: UnsyncedFile, count: number): void {
    for (const change of file.changes.splice(0, count)) this.#bytes -= bytesOf(change)
    if (file.changes.length > 0 || this.#files.get(keyOf(file.reference)) !== file) return
    this.#files.delete(keyOf(file.reference))
    this.#options.state.synced(file.reference)
  }

  #commitOldest(): Promise<void> {
    const [file] = this.#files.values()
    if (file === undefined) return Promise.resolve()
    this.#committing ??= this.#commit(file).finally(() => (this.#committing = undefined))
    return this.#committing
  }

  async #commit(file: UnsyncedFile): Promise<void> {
    const { reference } = file
    try {
      await this.synced(reference, () => this.#options.call('commit', { reference }))
    } catch (error) {
      // A file that is no more has nothing to lose.
      if (isNoConnection(error)) throw error
      if (errnoOf(error) === 'ESTALE') this.#drop(file, file.changes.length)
      else this.#fail(file, error)
    }
  }

  async #commitIdle(): Promise<void> {
    const [oldest] = this.#files.values()
    if (oldest === undefined || performance.now() - oldest.changedMs < IDLE_MS) return
    await this.#commitOldest()
    await this.#commitIdle()
  }
}

function isNoConnection(error: unknown): boolean {
  const code = errnoOf(error)
  return code === undefined || code === 'ENOTCONN' || code === 'ETIMEDOUT'
}

function bytesOf(change: UnsyncedChange): number {
  return CHANGE_BYTES + (change.kind === 'write' ? change.data.length : 0)
}

async function restoreChange(
  { reference }: FileName,
  change: UnsyncedChange,
  call: CallFirst,
): Promise<void> {
  switch (change.kind) {
    case 'unknown':
      throw new FuseError('EIO', 'What was written is not known any more')
    case 'resize': {
      const { sizeBytes } = change
      await call('restore', { reference, offset: 0, sizeBytes })
      return
    }
    case 'write': {
      const { offset, data } = change
      await call('restore', { reference, offset, sizeBytes: undefined }, { data: [data] })
      return
    }
    default:
      change satisfies never
  }
}
