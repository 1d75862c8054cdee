// The POSIX contract against the grid file system: a server that exports a folder of ext4, and a mount.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createGridSite } from '../../lab/grid-site.ts'
import { mountExt4 } from './mount-ext4.ts'
import { describePosix } from './posix-contract.ts'

describePosix({
  name: 'the grid file system',
  async mount(scope) {
    const disk = await mountExt4(scope)
    const exported = join(disk, 'export')
    await mkdir(exported)
    const site = await createGridSite(scope, { directory: exported })
    return site.mount('mounted-grid')
  },
})
