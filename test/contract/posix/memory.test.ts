// The POSIX contract against the example file system in memory, and so against the FUSE binding.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startInLab } from '../../lab/lab-program.ts'
import { waitFor } from '../../lab/scope.ts'
import { readMounts, run } from '../../../src/host/host.ts'
import { describePosix } from './posix-contract.ts'

const PROGRAM = join(
  import.meta.dirname,
  '../../../examples/memory-file-system/memory-file-system.ts',
)

describePosix({
  name: 'the file system in memory',
  async mount(scope) {
    const folder = join(scope.directory, 'mounted')
    await mkdir(folder)
    const program = startInLab(scope, 'memory', {
      program: process.execPath,
      args: [PROGRAM, folder],
    })
    scope.defer(folder, () => run('umount', ['-l', folder], { okExitCodes: [0, 32] }))
    const isMounted = async () =>
      (await readMounts()).some(({ mountPoint }) => mountPoint === folder)
    const options = { deadlineMs: 15_000, signal: scope.signal }
    await waitFor(`the file system in memory: ${program.lastWords()}`, isMounted, options)
    return folder
  },
})
