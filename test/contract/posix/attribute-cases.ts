// Extended attributes: xattr(7).
import { equal, fails, type PosixCase } from './posix-site.ts'

const CREATE = 1
const REPLACE = 2

export const attributeCases: readonly PosixCase[] = [
  [
    'an attribute keeps its bytes, whatever they are, and may be empty',
    async (site) => {
      const file = await site.file('file')
      const bytes = Array.from({ length: 256 }, (_, index) => String.fromCharCode(index)).join('')
      for (const [name, value] of Object.entries({ 'user.a': bytes, 'user.b': '' })) {
        await site.agent.call('setxattr', file, name, value)
        await equal(site.agent.call('getxattr', file, name), value)
      }
      await equal(site.agent.call('listxattr', file), ['user.a', 'user.b'])
    },
  ],
  [
    'an attribute is made only once, or only replaced, when asked so',
    async (site) => {
      const file = await site.file('file')
      await fails('ENODATA', site.agent.call('setxattr', file, 'user.a', 'x', REPLACE))
      await site.agent.call('setxattr', file, 'user.a', 'x', CREATE)
      await fails('EEXIST', site.agent.call('setxattr', file, 'user.a', 'y', CREATE))
      await site.agent.call('setxattr', file, 'user.a', 'z', REPLACE)
      await equal(site.agent.call('getxattr', file, 'user.a'), 'z')
    },
  ],
  [
    'an attribute that was removed is none',
    async (site) => {
      const file = await site.file('file')
      await site.agent.call('setxattr', file, 'user.a', 'x')
      await site.agent.call('removexattr', file, 'user.a')
      await fails('ENODATA', site.agent.call('getxattr', file, 'user.a'))
      await fails('ENODATA', site.agent.call('removexattr', file, 'user.a'))
      await equal(site.agent.call('listxattr', file), [])
    },
  ],
  [
    'folders have attributes, and names have limits',
    async (site) => {
      const folder = await site.directory('folder')
      await site.agent.call('setxattr', folder, 'user.a', 'x')
      await equal(site.agent.call('getxattr', folder, 'user.a'), 'x')
      await fails('ERANGE', site.agent.call('setxattr', folder, `user.${'n'.repeat(251)}`, 'x'))
      await fails(['EOPNOTSUPP', 'ENOTSUP'], site.agent.call('setxattr', folder, 'nonsense.a', 'x'))
    },
  ],
  [
    'attributes of users go by the mode of the file, trusted ones are for root',
    async (site) => {
      const file = await site.file('file')
      await site.agent.call('setxattr', file, 'user.a', 'x')
      await site.agent.as({ uid: 7004 }, async () => {
        await equal(site.agent.call('getxattr', file, 'user.a'), 'x')
        await fails('EACCES', site.agent.call('setxattr', file, 'user.a', 'y'))
        await fails('EPERM', site.agent.call('setxattr', file, 'trusted.a', 'y'))
      })
    },
  ],
]
