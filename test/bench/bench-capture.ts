// Capture of a local tree against `tar -c | zstd -3 -T2` of the very same tree, both from a warm cache.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CompetitionOptions } from './report.ts'
import { copyGoldenTree, SI } from './golden-tree.ts'
import { compete, type Row } from './measure.ts'
import { withScope } from '../lab/scope.ts'

export async function benchCapture(options: CompetitionOptions): Promise<readonly Row[]> {
  return withScope(async ({ directory }) => {
    const golden = await copyGoldenTree(directory, options.sources)
    const repository = join(directory, 'repository')
    const plain = join(directory, 'plain.tar.zst')
    const pipeline =
      'tar --create --format=posix --xattrs --acls --sparse --numeric-owner -C "$1" . | zstd -3 -T2 -q -o "$2"'
    return compete(
      [
        {
          name: 'tar -c | zstd -3 -T2',
          prepare: () => rm(plain, { force: true }),
          command: ['bash', '-o', 'pipefail', '-c', pipeline, 'bash', golden, plain],
        },
        {
          name: 'si-getimage --root',
          prepare: () => rm(repository, { recursive: true, force: true }),
          command: [SI, 'getimage', '--root', golden, '-n', 'golden', '-r', repository],
        },
      ],
      options.rounds,
    )
  })
}
