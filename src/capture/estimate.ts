// How large the capture will be, for the progress bar and for the piece length. Invariant: an estimate
// never delays a capture and is never taken for the truth.
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

/** Bytes in use below a local directory, by du(1); undefined when it fails or is interrupted. */
export async function measureTree(
  directory: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    const args = ['-s', '-x', '--block-size=1', '--', directory]
    const { stdout } = await run('du', args, { signal, okExitCodes: [0, 1] })
    const bytes = Number.parseInt(stdout, 10)
    return Number.isSafeInteger(bytes) ? bytes : undefined
  } catch {
    return undefined // only the progress bar would have used it
  }
}
