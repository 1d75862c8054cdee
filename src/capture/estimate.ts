// How large the capture will be, for the progress bar and for the piece length. Invariant: an estimate
// never delays a capture and is never taken for the truth.
import { systemClock } from '../core/core.ts'
import { run } from '../host/host.ts'
import type { CapturedMounts } from './mounts.ts'
import type { ProbeFacts } from './probe.ts'

/** System trees shrink to about a third at zstd level 3; half leaves room for less compressible ones. */
const PACKED_PART = 0.5

/** Bytes in use in all captured file systems, swap files not counted; undefined when unknown. */
export function usedBytesOf(facts: ProbeFacts, captured: CapturedMounts): number | undefined {
  const isMounted = captured.mounts.some(({ mountPoint }) => mountPoint === '/')
  const ofMounts = captured.mountPoints.map((point) => facts.usedBytes.get(point))
  const [ofRoot, ...others] = ofMounts
  const root = ofRoot ?? (isMounted ? facts.rootUsedBytes : undefined)
  if (root === undefined) return undefined
  const swapFiles = facts.swaps.filter(({ isFile }) => isFile)
  const sum = (values: readonly (number | undefined)[]) =>
    values.reduce<number>((total, value) => total + (value ?? 0), 0)
  return Math.max(0, root + sum(others) - sum(swapFiles.map(({ sizeBytes }) => sizeBytes)))
}

/** What the pack may come to, from the best bound known: an upper one for part of a file system. */
export function estimatePackBytes(facts: ProbeFacts, usedBytes: number | undefined): number {
  return (usedBytes ?? facts.rootUsedBytes ?? 0) * PACKED_PART
}

export interface Measurement {
  /** Undefined until known. */
  readonly bytes: () => number | undefined
  /** Resolves when it is known, failed, or `patienceMs` have passed. */
  settle(patienceMs: number): Promise<void>
}

/** A size that is known already. */
export function knownSize(bytes: number | undefined): Measurement {
  return { bytes: () => bytes, settle: () => Promise.resolve() }
}

/** Bytes in use below a local directory, by du(1), which runs until the signal fires. */
export function measureTree(directory: string, signal: AbortSignal): Measurement {
  let bytes: number | undefined
  const measure = async () => {
    const args = ['-s', '-x', '--block-size=1', '--', directory]
    const { stdout } = await run('du', args, { signal, okExitCodes: [0, 1] })
    const found = Number.parseInt(stdout, 10)
    if (Number.isSafeInteger(found)) bytes = found
  }
  const measured = measure().catch(() => {}) // only an estimate is lost
  return {
    bytes: () => bytes,
    settle: (patienceMs) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const cancel = systemClock.schedule(patienceMs, resolve)
      return Promise.race([measured, promise]).finally(cancel)
    },
  }
}
