// The POSIX contract against a mirror of three servers, each with a folder of ext4.
import { createMirrorSite } from '../../lab/mirror-site.ts'
import { mountExt4 } from './mount-ext4.ts'
import { describePosix } from './posix-contract.ts'

describePosix({
  name: 'a mirror of three servers',
  async mount(scope) {
    const site = await createMirrorSite(scope, { count: 3, exported: await mountExt4(scope) })
    return site.mount('mounted-mirror')
  },
  exceptions: {
    'a new file has the time of now, all three the same':
      'the time of the last change of attributes is of the server alone, and cannot be set',
  },
})
