// The POSIX contract against file systems of the kernel: what the contract asks must hold where it is
// beyond doubt. Needs root and python3.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../../src/host/host.ts'
import { describePosix } from './posix-contract.ts'

describePosix({
  name: 'ext4',
  async mount(scope) {
    const [disk, folder] = [join(scope.directory, 'disk'), join(scope.directory, 'mounted')]
    await mkdir(folder)
    await run('truncate', ['--size', '300M', disk])
    await run('mkfs.ext4', ['-q', disk])
    scope.defer(folder, () => run('umount', [folder]))
    await run('mount', ['-o', 'loop', disk, folder])
    return folder
  },
})
