// What a target's file system could not keep: counters in shared memory that any worker raises and the
// report reads, one sentence for each kind.

/** The name of an extended attribute, which has a dot, or one of the words below, which have none. */
export type Loss = string

const WORDS: readonly (readonly [start: string, what: string])[] = [
  ['system.posix_acl_', 'attributes system.posix_acl_*'],
  ['security.', 'attributes security.*'],
  ['trusted.', 'attributes trusted.*'],
  ['user.', 'attributes user.*'],
  ['owner', 'owners'],
  ['mode', 'modes'],
  ['time', 'times of modification, which lie outside of its range,'],
  ['fraction', 'fractions of seconds in times'],
  ['symlink', 'symbolic links'],
  ['hardlink', 'hard links'],
  ['node', 'device nodes or fifos'],
  ['large', 'attributes as large as some are'],
  ['', 'attributes of other kinds'],
]

export function createLossCounters(): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(4 * WORDS.length))
}

export function countLoss(counters: Uint32Array, loss: Loss): void {
  const index = WORDS.findIndex(([start]) => loss.startsWith(start))
  Atomics.add(counters, index, 1)
}

/** A remark for people per kind that was lost. */
export function describeLosses(counters: Uint32Array): readonly string[] {
  return WORDS.flatMap(([, what], index) => {
    const count = counters[index] ?? 0
    if (count === 0) return []
    const files = count === 1 ? '1 file' : `${count} files`
    return [`the target's file system cannot keep ${what} (${files})`]
  })
}
