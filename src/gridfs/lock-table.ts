// Locks on files: ranges of bytes as fcntl(2) has them, whole files as flock(2). Pure but for waiting:
// whoever waits is served in order, as soon as nothing is in the way. An owner's own locks never conflict
// with each other; a new one replaces what it overlaps. Ends are inclusive, 2^63 - 1 is "to the end".
import { abortedError } from '../core/core.ts'
import { FuseError } from './fuse/errno.ts'
import { type FileLock } from './fuse/control-operations.ts'

export interface LockRequest {
  /** Whose locks go together: a process for fcntl, an open file for flock. */
  readonly owner: string
  readonly lock: FileLock
}

export interface HeldLock extends FileLock {
  readonly owner: string
}

interface Waiter extends LockRequest {
  readonly grant: () => void
}

interface LockedFile {
  held: readonly HeldLock[]
  readonly waiters: Set<Waiter>
}

export class LockTable {
  readonly #files = new Map<string, LockedFile>()
  readonly #onChange: (file: string, held: readonly HeldLock[]) => void

  /** `onChange` is told what is held of a file, before whoever changed that is. */
  constructor(onChange: (file: string, held: readonly HeldLock[]) => void = () => {}) {
    this.#onChange = onChange
  }

  /** What was held before this table was made. */
  restore(file: string, held: readonly HeldLock[]): void {
    this.#file(file).held = held
  }

  /** Files that somebody locks or waits for. */
  get size(): number {
    return this.#files.size
  }

  /** The first lock of somebody else that stands in the way; undefined when there is none. */
  conflict(file: string, request: LockRequest): FileLock | undefined {
    return this.#files.get(file)?.held.find((held) => isInTheWay(held, request))
  }

  /** Takes or gives back a lock at once. Throws EAGAIN when somebody else's is in the way. */
  set(file: string, request: LockRequest): void {
    if (request.lock.type !== 'unlock' && this.conflict(file, request) !== undefined) {
      throw new FuseError('EAGAIN')
    }
    this.#apply(file, request)
  }

  /** Waits for a lock. Throws EDEADLK when the holder waits for `owner`, ERR_SI_ABORTED with the signal. */
  async wait(file: string, request: LockRequest, signal: AbortSignal): Promise<void> {
    if (request.lock.type === 'unlock' || this.conflict(file, request) === undefined) {
      return this.#apply(file, request)
    }
    if (this.#wouldDeadlock(file, request)) throw new FuseError('EDEADLK')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const locked = this.#file(file)
    const waiter: Waiter = { ...request, grant: resolve }
    const onAbort = () => reject(abortedError(signal))
    locked.waiters.add(waiter)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      locked.waiters.delete(waiter)
      this.#dropUnused(file)
    }
  }

  /** Gives back all locks of an owner in a file, as closing it does. */
  release(file: string, owner: string): void {
    const whole: FileLock = { start: 0n, end: END, type: 'unlock', pid: 0 }
    if (this.#files.has(file)) this.#apply(file, { owner, lock: whole })
  }

  /** Gives back the locks of all owners for which `isGone` holds, in all files. */
  releaseOwners(isGone: (owner: string) => boolean): void {
    for (const [file, { held }] of this.#files) {
      const gone = new Set(held.map(({ owner }) => owner).filter(isGone))
      for (const owner of gone) this.release(file, owner)
    }
  }

  #apply(file: string, { owner, lock }: LockRequest): void {
    const locked = this.#file(file)
    const rest = locked.held.flatMap((held) =>
      held.owner === owner ? without(held, lock) : [held],
    )
    locked.held = lock.type === 'unlock' ? rest : joined(rest, { ...lock, owner })
    this.#onChange(file, locked.held)
    for (const waiter of locked.waiters) {
      if (this.conflict(file, waiter) !== undefined) continue
      locked.waiters.delete(waiter)
      waiter.grant()
      this.#apply(file, waiter)
      break // applying has looked at all others
    }
    this.#dropUnused(file)
  }

  #wouldDeadlock(file: string, request: LockRequest): boolean {
    const visited = new Set<string>()
    const blockers = [...this.#blockersOf(file, request)]
    for (let owner = blockers.pop(); owner !== undefined; owner = blockers.pop()) {
      if (owner === request.owner) return true
      if (visited.has(owner)) continue
      visited.add(owner)
      for (const [other, { waiters }] of this.#files) {
        for (const waiter of waiters) {
          if (waiter.owner === owner) blockers.push(...this.#blockersOf(other, waiter))
        }
      }
    }
    return false
  }

  *#blockersOf(file: string, request: LockRequest): Generator<string> {
    for (const held of this.#files.get(file)?.held ?? []) {
      if (isInTheWay(held, request)) yield held.owner
    }
  }

  #file(file: string): LockedFile {
    const found = this.#files.get(file) ?? { held: [], waiters: new Set() }
    this.#files.set(file, found)
    return found
  }

  #dropUnused(file: string): void {
    const found = this.#files.get(file)
    if (found?.held.length === 0 && found.waiters.size === 0) this.#files.delete(file)
  }
}

const END = 2n ** 63n - 1n

function isInTheWay(held: HeldLock, { owner, lock }: LockRequest): boolean {
  if (held.owner === owner || held.end < lock.start || lock.end < held.start) return false
  return held.type === 'write' || lock.type === 'write'
}

/** What is left of a lock when a range is taken out of it. */
function without(held: HeldLock, range: FileLock): HeldLock[] {
  if (held.end < range.start || range.end < held.start) return [held]
  const left = held.start < range.start ? [{ ...held, end: range.start - 1n }] : []
  const right = range.end < held.end ? [{ ...held, start: range.end + 1n }] : []
  return [...left, ...right]
}

/** Adds a lock, grown by those of the same owner and type that touch it. */
function joined(held: readonly HeldLock[], lock: HeldLock): HeldLock[] {
  let { start, end } = lock
  const rest = held.filter((other) => {
    const isSame = other.owner === lock.owner && other.type === lock.type
    if (!isSame || other.end + 1n < start || end + 1n < other.start) return true
    start = other.start < start ? other.start : start
    end = other.end > end ? other.end : end
    return false
  })
  return [...rest, { ...lock, start, end }]
}
