// Times of access, content and status: which call changes which, and that they are kept to the nanosecond.
import assert from 'node:assert/strict'
import { fails, O, type PosixCase, type PosixSite } from './posix-site.ts'
import { type FileStatus } from './posix-agent.ts'

type Time = 'atime' | 'mtime' | 'ctime'
const LONG_AGO = '1000000001000000001'

/** Which times of a file a call changes; the others must stay. */
const CHANGES: Readonly<Record<string, { readonly times: readonly Time[]; readonly act: Act }>> = {
  write: {
    times: ['mtime', 'ctime'],
    act: withOpen(O.WRONLY, (site, fd) => site.agent.call('write', fd, 'x')),
  },
  pwrite: {
    times: ['mtime', 'ctime'],
    act: withOpen(O.WRONLY, (site, fd) => site.agent.call('pwrite', fd, 'x', 9)),
  },
  'write of nothing': {
    times: [],
    act: withOpen(O.WRONLY, (site, fd) => site.agent.call('write', fd, '')),
  },
  ftruncate: {
    times: ['mtime', 'ctime'],
    act: withOpen(O.WRONLY, (site, fd) => site.agent.call('ftruncate', fd, 2)),
  },
  truncate: {
    times: ['mtime', 'ctime'],
    act: (site, path) => site.agent.call('truncate', path, 2),
  },
  'open with O_TRUNC': {
    times: ['mtime', 'ctime'],
    act: withOpen(O.WRONLY | O.TRUNC, () => Promise.resolve()),
  },
  'open to write': { times: [], act: withOpen(O.RDWR, () => Promise.resolve()) },
  chmod: { times: ['ctime'], act: (site, path) => site.agent.call('chmod', path, 0o600) },
  chown: { times: ['ctime'], act: (site, path) => site.agent.call('chown', path, 7001, 7001) },
  setxattr: {
    times: ['ctime'],
    act: (site, path) => site.agent.call('setxattr', path, 'user.a', 'b'),
  },
  link: { times: ['ctime'], act: (site, path) => site.agent.call('link', path, site.at('link')) },
  stat: { times: [], act: (site, path) => site.agent.call('stat', path) },
  fallocate: {
    times: ['mtime', 'ctime'],
    act: withOpen(O.WRONLY, (site, fd) => site.agent.call('fallocate', fd, 0, 0, 100_000)),
  },
  'utimensat of the access time': {
    times: ['atime', 'ctime'],
    act: (site, path) => site.agent.call('utimens', path, '5', 'omit'),
  },
  'utimensat of the content time': {
    times: ['mtime', 'ctime'],
    act: (site, path) => site.agent.call('utimens', path, 'omit', '5'),
  },
}

type Act = (site: PosixSite, path: string) => Promise<unknown>

function withOpen(flags: number, act: (site: PosixSite, fd: number) => Promise<unknown>): Act {
  return async (site, path) => {
    const fd = await site.agent.number('open', path, flags)
    await act(site, fd)
    await site.agent.call('close', fd)
  }
}

const changeCases = Object.entries(CHANGES).map(([name, { times, act }]): PosixCase => [
  `${name} changes ${times.length === 0 ? 'no time' : times.join(' and ')}`,
  async (site) => {
    const path = await site.file('file', 'content')
    await site.agent.call('utimens', path, LONG_AGO, LONG_AGO)
    const before = await site.agent.status(path)
    await act(site, path)
    const after = await site.agent.status(path)
    for (const time of ['atime', 'mtime', 'ctime'] as const) {
      const hasChanged = after[time] !== before[time]
      assert.equal(hasChanged, times.includes(time), `${time}: ${before[time]} → ${after[time]}`)
    }
  },
])

const set = async (site: PosixSite, path: string, ...times: readonly unknown[]) => {
  await site.agent.call('utimens', path, ...times)
  return site.agent.status(path)
}

const setCases: readonly PosixCase[] = [
  [
    'times are kept to the nanosecond, also before 1970 and behind 2038',
    async (site) => {
      const file = await site.file('file')
      for (const time of ['1', '999999999', '-1', '-1000000001', '4294967296000000007']) {
        const { atime, mtime } = await set(site, file, time, time)
        assert.deepEqual([atime, mtime], [BigInt(time), BigInt(time)])
      }
    },
  ],
  [
    'each of both times can be left alone or be now',
    async (site) => {
      const file = await site.file('file')
      await set(site, file, '1', '2')
      assert.equal((await set(site, file, 'omit', '3')).atime, 1n)
      assert.equal((await set(site, file, '4', 'omit')).mtime, 3n)
      const { atime, mtime } = await set(site, file, 'now', 'omit')
      assert.ok(atime > 10n ** 18n)
      assert.equal(mtime, 3n)
    },
  ],
  [
    'the times of a symbolic link itself can be set',
    async (site) => {
      await site.agent.call('symlink', 'nowhere', site.at('link'))
      const { atime, mtime } = await set(site, site.at('link'), '5', '6', false)
      assert.deepEqual([atime, mtime], [5n, 6n])
    },
  ],
  [
    'times of somebody else: "now" needs write permission, others ownership',
    async (site) => {
      const file = await site.file('file')
      await site.agent.call('chmod', file, 0o666)
      await site.agent.as({ uid: 7004 }, async () => {
        await set(site, file, 'now', 'now')
        await fails('EPERM', site.agent.call('utimens', file, '1', '1'))
        await fails('EPERM', site.agent.call('utimens', file, 'now', 'omit'))
      })
      await site.agent.call('chmod', file, 0o644)
      const touch = () => site.agent.call('utimens', file, 'now', 'now')
      await fails('EACCES', site.agent.as({ uid: 7004 }, touch))
    },
  ],
  [
    'reading a changed file or folder sets its time of access',
    async (site) => {
      const file = await site.file('file', 'content')
      await set(site, file, '1', '2')
      const fd = await site.agent.number('open', file, O.RDONLY)
      await site.agent.call('read', fd, 7)
      await site.agent.call('close', fd)
      const read: FileStatus = await site.agent.status(file)
      assert.ok(read.atime > 1n, `atime ${read.atime}`)
      assert.equal(read.mtime, 2n)
    },
  ],
  [
    'a new file has the time of now, all three the same',
    async (site) => {
      const beforeNs = BigInt(Date.now() - 1000) * 1_000_000n
      const { atime, mtime, ctime } = await site.agent.status(await site.file('file'))
      assert.ok(atime >= beforeNs && mtime === ctime && atime === mtime)
    },
  ],
]

export const timeCases = [...changeCases, ...setCases]
