// A file system of the kernel's own, to compare with and to export.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../../src/host/host.ts'
import { type Scope } from '../../lab/scope.ts'

/** The folder where it is mounted. Needs root and a loop device. */
export async function mountExt4(scope: Scope): Promise<string> {
  const [disk, folder] = [join(scope.directory, 'disk'), join(scope.directory, 'mounted')]
  await mkdir(folder)
  await run('truncate', ['--size', '300M', disk])
  await run('mkfs.ext4', ['-q', disk])
  scope.defer(folder, () => run('umount', [folder], { okExitCodes: [0, 32] }))
  await run('mount', ['-o', 'loop', disk, folder])
  return folder
}
