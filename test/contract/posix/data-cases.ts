// The content of files: reading, writing, appending, sparse files, truncation, files without a name, mmap.
import assert from 'node:assert/strict'
import { equal, fails, O, type PosixCase, type PosixSite } from './posix-site.ts'

const KEEP_SIZE = 1 // FALLOC_FL_…
const PUNCH_HOLE = 2
const SEEK_DATA = 3
const SEEK_HOLE = 4
const MIB = 2 ** 20

const opened = (site: PosixSite, name: string, flags = O.CREAT | O.RDWR) =>
  site.agent.number('open', site.at(name), flags, 0o644)

export const dataCases: readonly PosixCase[] = [
  [
    'what was written is read, at every offset and across blocks',
    async (site) => {
      const fd = await opened(site, 'file')
      for (const offset of [0, 1, 4095, 4096, 65_535, 131_072, MIB - 1, 3 * MIB + 17]) {
        const text = `at ${offset}`
        await equal(site.agent.call('pwrite', fd, text, offset), text.length)
        await equal(site.agent.call('pread', fd, text.length, offset), text)
      }
      await equal(site.agent.call('pread', fd, 10, 2 * MIB), '\0'.repeat(10))
      await equal(site.agent.call('pread', fd, 10, 4 * MIB), '')
    },
  ],
  [
    'a large write and a large read are whole',
    async (site) => {
      const text = Array.from({ length: 5 * MIB }, (_, index) => index % 251)
      const data = Buffer.from(text).toString('latin1')
      const fd = await opened(site, 'file')
      let written = 0
      while (written < data.length) {
        written += await site.agent.number('pwrite', fd, data.slice(written), written)
      }
      const again = await opened(site, 'file', O.RDONLY)
      let read = ''
      for (;;) {
        const part = (await site.agent.call('read', again, 5 * MIB)) as string
        if (part === '') break
        read += part
      }
      assert.ok(read === data)
    },
  ],
  [
    'two descriptors of a file see what the other writes at once',
    async (site) => {
      const [a, b] = [await opened(site, 'file'), await opened(site, 'file')]
      await site.agent.call('pwrite', a, 'one', 0)
      await equal(site.agent.call('pread', b, 3, 0), 'one')
      await site.agent.call('pwrite', b, 'two', 0)
      await equal(site.agent.call('pread', a, 3, 0), 'two')
      const third = await site.other.number('open', site.at('file'), O.RDONLY)
      await equal(site.other.call('pread', third, 3, 0), 'two')
      await site.other.call('close', third)
    },
  ],
  [
    'O_APPEND writes at the end, whoever has written before',
    async (site) => {
      const fd = await opened(site, 'file', O.CREAT | O.WRONLY | O.APPEND)
      const other = await site.other.number('open', site.at('file'), O.WRONLY | O.APPEND)
      for (const [agent, handle] of [
        ...([
          [site.agent, fd],
          [site.other, other],
          [site.agent, fd],
          [site.other, other],
        ] as const),
      ]) {
        await agent.call('write', handle, 'xy')
      }
      assert.equal((await site.agent.fstat(fd)).size, 8)
      await site.other.call('close', other)
    },
  ],
  [
    'writing beyond the end leaves zeros, which may take no room',
    async (site) => {
      const fd = await opened(site, 'file')
      await site.agent.call('pwrite', fd, 'end', 100 * MIB)
      const { size, blocks } = await site.agent.fstat(fd)
      assert.equal(size, 100 * MIB + 3)
      assert.ok(blocks * 512 < 10 * MIB, `${blocks} blocks`)
      await equal(site.agent.call('pread', fd, 4, 50 * MIB), '\0\0\0\0')
    },
  ],
  [
    'lseek finds data and holes',
    async (site) => {
      const fd = await opened(site, 'file')
      await site.agent.call('pwrite', fd, 'data', 4 * MIB)
      await site.agent.call('ftruncate', fd, 8 * MIB)
      const seek = (offset: number, whence: number) =>
        site.agent.number('lseek', fd, offset, whence)
      assert.equal(await seek(0, SEEK_HOLE), 0)
      assert.equal(await seek(0, SEEK_DATA), 4 * MIB)
      const hole = await seek(4 * MIB, SEEK_HOLE)
      assert.ok(hole > 4 * MIB && hole <= 8 * MIB)
      await fails('ENXIO', seek(8 * MIB, SEEK_DATA))
      await fails('ENXIO', seek(hole, SEEK_DATA))
    },
  ],
  [
    'truncation cuts, lengthens with zeros, and forgets what was cut',
    async (site) => {
      const file = await site.file('file', 'x'.repeat(10_000))
      await site.agent.call('truncate', file, 5)
      await site.agent.call('truncate', file, 9000)
      const fd = await opened(site, 'file')
      await equal(site.agent.call('pread', fd, 10, 0), `${'x'.repeat(5)}${'\0'.repeat(5)}`)
      await equal(site.agent.call('pread', fd, 10, 8995), '\0'.repeat(5))
      await fails('EINVAL', site.agent.call('truncate', file, -1))
    },
  ],
  [
    'what is no file is not truncated or written',
    async (site) => {
      const folder = await site.directory('folder')
      await fails('EISDIR', site.agent.call('truncate', folder, 0))
      await fails('EISDIR', site.agent.call('open', folder, O.WRONLY))
      await fails('EISDIR', site.agent.call('open', folder, O.RDONLY | O.CREAT))
      const fd = await site.agent.number('open', folder, O.RDONLY)
      await fails('EISDIR', site.agent.call('read', fd, 1))
      const file = await opened(site, 'file', O.CREAT | O.RDONLY)
      await fails('EBADF', site.agent.call('write', file, 'x'))
      await fails('ENOTDIR', site.agent.call('open', site.at('file'), O.RDONLY | O.DIRECTORY))
    },
  ],
  [
    'a file without a name left is used until it is closed',
    async (site) => {
      const file = await site.file('file', 'content')
      const fd = await opened(site, 'file')
      await site.agent.call('unlink', file)
      await equal(site.agent.call('pread', fd, 7, 0), 'content')
      await site.agent.call('pwrite', fd, 'changed', 0)
      await site.agent.call('ftruncate', fd, 4)
      await site.agent.call('fchmod', fd, 0o600)
      await site.agent.call('fsync', fd)
      const status = await site.agent.fstat(fd)
      assert.deepEqual([status.links, status.size, status.mode], [0, 4, 0o600])
      await equal(site.agent.call('pread', fd, 9, 0), 'chan')
      await site.file('file', 'another')
      await equal(site.agent.call('pread', fd, 9, 0), 'chan')
      await site.agent.call('close', fd)
    },
  ],
  [
    'a removed folder that is open has nothing in it and takes nothing new',
    async (site) => {
      const folder = await site.directory('folder')
      const fd = await site.agent.number('open', folder, O.RDONLY | O.DIRECTORY)
      await site.agent.call('rmdir', folder)
      await fails('ENOENT', site.agent.call('openat', fd, 'new', O.CREAT | O.WRONLY, 0o644))
      await site.agent.call('close', fd)
    },
  ],
  [
    'O_EXCL finds out who came first',
    async (site) => {
      const create = O.CREAT | O.EXCL | O.WRONLY
      await site.agent.call('open', site.at('file'), create, 0o644)
      await fails('EEXIST', site.other.call('open', site.at('file'), create, 0o644))
    },
  ],
  [
    'O_TRUNC empties a file, and needs the permission to write',
    async (site) => {
      const file = await site.file('file', 'content')
      await fails(
        'EACCES',
        site.agent.as({ uid: 7004 }, () => opened(site, 'file', O.RDONLY | O.TRUNC)),
      )
      await site.agent.call('close', await opened(site, 'file', O.WRONLY | O.TRUNC))
      assert.equal((await site.agent.status(file)).size, 0)
    },
  ],
  [
    'O_TMPFILE makes a file that has no name',
    async (site) => {
      const fd = await site.agent.number('open', site.folder, O.TMPFILE | O.RDWR, 0o600)
      await site.agent.call('write', fd, 'content')
      await equal(site.agent.call('pread', fd, 7, 0), 'content')
      await equal(site.agent.call('list', site.folder), [])
      await site.agent.call('close', fd)
    },
  ],
  [
    'fallocate makes a file longer unless told not to, and punches holes',
    async (site) => {
      const fd = await opened(site, 'file')
      await site.agent.call('fallocate', fd, KEEP_SIZE, 0, MIB)
      assert.equal((await site.agent.fstat(fd)).size, 0)
      await site.agent.call('fallocate', fd, 0, 0, MIB)
      assert.equal((await site.agent.fstat(fd)).size, MIB)
      await site.agent.call('pwrite', fd, 'x'.repeat(200_000), 0)
      await site.agent.call('fallocate', fd, KEEP_SIZE | PUNCH_HOLE, 65_536, 65_536)
      await equal(site.agent.call('pread', fd, 4, 65_534), 'xx\0\0')
      await equal(site.agent.call('pread', fd, 4, 131_070), '\0\0xx')
    },
  ],
  [
    'copy_file_range copies inside of the file system',
    async (site) => {
      await site.file('from', 'a'.repeat(100_000))
      const [from, to] = [await opened(site, 'from'), await opened(site, 'to')]
      let copied = 0
      while (copied < 100_000) {
        copied += await site.agent.number(
          'copyRange',
          from,
          to,
          100_000 - copied,
          copied,
          copied + 7,
        )
      }
      await equal(site.agent.call('pread', to, 9, 0), '\0\0\0\0\0\0\0aa')
      assert.equal((await site.agent.fstat(to)).size, 100_007)
    },
  ],
  [
    'a shared mapping writes the file, and sees what is written',
    async (site) => {
      await site.file('file', 'x'.repeat(10_000))
      const fd = await opened(site, 'file')
      await site.agent.call('mapWrite', fd, 5000, 'mapped')
      await site.agent.call('fsync', fd)
      const other = await site.other.number('open', site.at('file'), O.RDWR)
      await equal(site.other.call('pread', other, 6, 5000), 'mapped')
      await site.other.call('pwrite', other, 'later!', 5000)
      await equal(site.agent.call('mapRead', fd, 5000, 6), 'later!')
      await site.other.call('close', other)
    },
  ],
  [
    'a program runs from it',
    async (site) => {
      const file = await site.file('program', '#!/bin/sh\nexit 7\n')
      await site.agent.call('chmod', file, 0o755)
      await equal(site.agent.call('exec', file), 7)
      await site.agent.call('chmod', file, 0o644)
      await equal(site.agent.call('exec', file), 13) // EACCES, also for root
    },
  ],
  [
    'a fifo that nobody reads cannot be opened to write without waiting',
    async (site) => {
      await site.agent.call('mkfifo', site.at('fifo'), 0o644)
      await fails('ENXIO', site.agent.call('open', site.at('fifo'), O.WRONLY | O.NONBLOCK))
    },
  ],
  [
    'the file system tells its size and its longest name',
    async (site) => {
      const status = (await site.agent.call('statfs', site.folder)) as Record<string, number>
      assert.ok((status['blocks'] ?? 0) > 0 && (status['blockSize'] ?? 0) > 0)
      assert.equal(status['nameMax'], 255)
    },
  ],
]
