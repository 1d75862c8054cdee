// The input of the benches: a real tree, copied once so that nothing changes while it is read.
import { mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { runQuietly } from './measure.ts'

/** Copies the source folders below `directory`/golden and returns that path. */
export async function copyGoldenTree(
  directory: string,
  sources: readonly string[],
): Promise<string> {
  const golden = join(directory, 'golden')
  await mkdir(golden)
  for (const source of sources) {
    await runQuietly([
      'cp',
      '--archive',
      '--no-target-directory',
      source,
      join(golden, basename(source)),
    ])
  }
  return golden
}

/** The launcher of a command, as an administrator calls it. */
export const SI = new URL('../../src/cli/si', import.meta.url).pathname
