// Locks of two processes: fcntl's of ranges, flock's of whole files; waiting and being freed.
import assert from 'node:assert/strict'
import { equal, fails, O, type PosixCase, type PosixSite } from './posix-site.ts'

async function both(site: PosixSite) {
  const file = await site.file('file', 'content')
  const [a, b] = await Promise.all([
    site.agent.number('open', file, O.RDWR),
    site.other.number('open', file, O.RDWR),
  ])
  return { a, b, file }
}

const closed = async (site: PosixSite, { a, b }: { readonly a: number; readonly b: number }) => {
  await site.agent.call('close', a)
  await site.other.call('close', b)
}

const lockCasesOfRanges: readonly PosixCase[] = [
  [
    'a write lock keeps others out of its range, and of no other',
    async (site) => {
      const fds = await both(site)
      await site.agent.call('lock', fds.a, 'write', 10, 10)
      await fails(['EAGAIN', 'EACCES'], site.other.call('lock', fds.b, 'read', 15, 1))
      await fails(['EAGAIN', 'EACCES'], site.other.call('lock', fds.b, 'write', 0, 11))
      await site.other.call('lock', fds.b, 'write', 0, 10)
      await site.other.call('lock', fds.b, 'write', 20, 0)
      const found = (await site.other.call('lockInTheWay', fds.b, 'write', 0, 0)) as {
        start: number
        length: number
        type: string
      }
      assert.deepEqual([found.type, found.start, found.length], ['write', 10, 10])
      await closed(site, fds)
    },
  ],
  [
    'read locks of two go together',
    async (site) => {
      const fds = await both(site)
      await site.agent.call('lock', fds.a, 'read')
      await site.other.call('lock', fds.b, 'read')
      await fails(['EAGAIN', 'EACCES'], site.other.call('lock', fds.b, 'write'))
      await closed(site, fds)
    },
  ],
  [
    'a lock that is taken in part is split',
    async (site) => {
      const fds = await both(site)
      await site.agent.call('lock', fds.a, 'write', 0, 100)
      await site.agent.call('lock', fds.a, 'unlock', 40, 20)
      await site.other.call('lock', fds.b, 'write', 40, 20)
      await fails(['EAGAIN', 'EACCES'], site.other.call('lock', fds.b, 'write', 39, 1))
      await fails(['EAGAIN', 'EACCES'], site.other.call('lock', fds.b, 'write', 60, 1))
      await closed(site, fds)
    },
  ],
  [
    'who waits for a lock gets it when it is given back, or its file is closed',
    async (site) => {
      for (const give of ['unlock', 'close'] as const) {
        const fds = await both(site)
        await site.agent.call('lock', fds.a, 'write')
        let isHeld = false
        const waits = site.other
          .call('lock', fds.b, 'write', 0, 0, true)
          .then(() => (isHeld = true))
        await site.agent.call('stat', fds.file) // answered, while the other waits
        assert.equal(isHeld, false)
        if (give === 'close') await site.agent.call('close', fds.a)
        else await site.agent.call('lock', fds.a, 'unlock')
        await waits
        await site.other.call('close', fds.b)
        if (give === 'unlock') await site.agent.call('close', fds.a)
        await site.agent.call('unlink', fds.file)
      }
    },
  ],
  [
    'a lock needs a descriptor that may do what it guards',
    async (site) => {
      const file = await site.file('file')
      const fd = await site.agent.number('open', file, O.RDONLY)
      await fails('EBADF', site.agent.call('lock', fd, 'write'))
      await site.agent.call('lock', fd, 'read')
      await site.agent.call('close', fd)
    },
  ],
]

const lockCasesOfFiles: readonly PosixCase[] = [
  [
    'flock keeps others out, shared ones go together',
    async (site) => {
      const fds = await both(site)
      await site.agent.call('flock', fds.a, 'write')
      await fails(['EAGAIN'], site.other.call('flock', fds.b, 'read'))
      await site.agent.call('flock', fds.a, 'read')
      await site.other.call('flock', fds.b, 'read')
      await fails(['EAGAIN'], site.other.call('flock', fds.b, 'write'))
      await closed(site, fds)
    },
  ],
  [
    'flock waits, and is freed by closing',
    async (site) => {
      const fds = await both(site)
      await site.agent.call('flock', fds.a, 'write')
      const waits = site.other.call('flock', fds.b, 'write', true)
      await site.agent.call('close', fds.a)
      await equal(waits, null)
      await site.other.call('close', fds.b)
    },
  ],
]

export const lockCases = [...lockCasesOfRanges, ...lockCasesOfFiles]
