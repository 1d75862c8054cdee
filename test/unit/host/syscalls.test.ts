import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, fstatSync, lstatSync, openSync, readSync, statSync, symlinkSync } from 'node:fs'
import { mkdtempSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as sys from '../../../src/host/host.ts'

const directory = mkdtempSync(join(tmpdir(), 'si-syscalls-'))
after(() => rmSync(directory, { recursive: true }))
const skip = process.geteuid?.() === 0 ? false : 'needs root'

function newFile(name: string): string {
  const path = join(directory, name)
  writeFileSync(path, 'x')
  return path
}

test('extended attributes keep every byte, an empty value, and names of bytes', () => {
  const path = newFile('attributes')
  sys.lsetxattr(path, 'user.binary', Buffer.of(0, 255, 10, 0))
  sys.lsetxattr(Buffer.from(path), 'user.empty', Buffer.alloc(0))
  assert.deepEqual(sys.lgetxattr(path, 'user.binary'), Buffer.of(0, 255, 10, 0))
  assert.deepEqual(sys.lgetxattr(path, 'user.empty'), Buffer.alloc(0))
  assert.equal(sys.lgetxattr(path, 'user.none'), undefined)
  assert.deepEqual([...sys.llistxattr(path)].sort(), ['user.binary', 'user.empty'])
  sys.lremovexattr(path, 'user.empty')
  assert.deepEqual(sys.llistxattr(path), ['user.binary'])
})

test('lgetxattr() reads values larger than its first guess', () => {
  const path = newFile('large')
  const value = Buffer.alloc(3900, 7)
  sys.lsetxattr(path, 'user.large', value)
  assert.deepEqual(sys.lgetxattr(path, 'user.large'), value)
})

test('fsetxattr() sets an attribute of an open file', () => {
  const path = newFile('open')
  const fd = openSync(path, 'r+')
  sys.fsetxattr(fd, 'user.a', Buffer.from('b'))
  closeSync(fd)
  assert.equal(sys.lgetxattr(path, 'user.a')?.toString(), 'b')
})

test('utimensat() and futimens() set nanoseconds before 1970 and after 2038', () => {
  const path = newFile('times')
  const fd = openSync(path, 'r+')
  for (const ns of [-1n, -1_000_000_001n, 0n, 5_000_000_000_123_456_789n]) {
    sys.utimensat(path, ns)
    assert.equal(lstatSync(path, { bigint: true }).mtimeNs, ns)
    sys.futimens(fd, ns + 1n)
    assert.equal(lstatSync(path, { bigint: true }).mtimeNs, ns + 1n)
  }
  closeSync(fd)
})

test('utimensat() does not follow a symlink', () => {
  const path = newFile('symlink-target')
  const before = statSync(path, { bigint: true }).mtimeNs
  const link = join(directory, 'symlink')
  symlinkSync(path, link)
  sys.utimensat(link, 42n)
  assert.equal(lstatSync(link, { bigint: true }).mtimeNs, 42n)
  assert.equal(statSync(path, { bigint: true }).mtimeNs, before)
})

test('mknod() makes device numbers of more than eight bits', { skip }, () => {
  const path = join(directory, 'device')
  sys.mknod(path, 0o020640, 259, 70000)
  const { rdev, mode } = statSync(path)
  assert.equal(BigInt(rdev), (259n << 8n) | (70000n & 0xffn) | ((70000n & ~0xffn) << 12n))
  assert.equal(mode & 0o170000, 0o020000)
})

test('system calls fail as those of Node do', () => {
  assert.throws(() => sys.lsetxattr('/there/is/none', 'user.a', Buffer.alloc(0)), {
    ...{ code: 'ENOENT', syscall: 'lsetxattr', path: '/there/is/none' },
    message: "ENOENT: no such file or directory, lsetxattr '/there/is/none'",
  })
})

test('startWriteback() takes a file and refuses what is none', async () => {
  const file = openSync(newFile('writeback'), 'r+')
  writeSync(file, 'dirty')
  await sys.startWriteback(file, 0, 5)
  closeSync(file)
  const { readFd, writeFd } = sys.pipe(4096)
  const syscall = 'sync_file_range'
  await assert.rejects(sys.startWriteback(writeFd, 0, 5), { code: 'EIO', syscall })
  for (const fd of [readFd, writeFd]) closeSync(fd)
})

test('flock() tells whether another descriptor holds the lock', () => {
  const path = newFile('lock')
  const [first, second] = [openSync(path, 'r'), openSync(path, 'r')]
  assert.equal(sys.flock(first, 'exclusive'), true)
  assert.equal(sys.flock(second, 'exclusive'), false)
  assert.equal(sys.flock(first, 'unlock'), true)
  assert.equal(sys.flock(second, 'exclusive'), true)
  closeSync(first)
  closeSync(second)
})

test('memfdCreate() and pipe() give usable descriptors', async () => {
  const memory = sys.memfdCreate('test')
  writeSync(memory, Buffer.from('kept'), 0, 4, 8188)
  assert.equal(fstatSync(memory).size, 8192)
  const { readFd, writeFd } = sys.pipe(2 ** 20)
  writeSync(writeFd, 'through')
  const into = Buffer.alloc(16)
  assert.equal(readSync(readFd, into), 7)
  const folder = openSync(directory, 'r')
  await sys.syncfsAsync(folder)
  await assert.rejects(sys.syncfsAsync(-1), { code: 'EIO', syscall: 'syncfs' })
  for (const fd of [memory, readFd, writeFd, folder]) closeSync(fd)
})

test('limitUnsent() leaves in the process what a peer does not read', async () => {
  const server = createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connectSocket = async () => {
    const socket = connect(port, '127.0.0.1')
    const [[other]] = (await Promise.all([
      once(server, 'connection'),
      once(socket, 'connect'),
    ])) as [[Socket], []]
    return { socket, other }
  }
  const [limited, free] = [await connectSocket(), await connectSocket()]
  const { fd } = (limited.socket as Socket & { _handle: { fd: number } })._handle
  sys.limitUnsent(fd, 64 * 1024)
  const chunk = Buffer.alloc(64 * 1024)
  let takenOfLimited = 0
  const freeTookMuch = new Promise<void>((resolve) => {
    let taken = 0
    for (let count = 0; count < 64; count++) {
      limited.socket.write(chunk, () => (takenOfLimited += chunk.length))
      free.socket.write(chunk, () => (taken += chunk.length) >= 2 ** 20 && resolve())
    }
  })
  try {
    await freeTookMuch
    assert.ok(takenOfLimited < 2 ** 19, `the kernel took ${takenOfLimited} bytes`)
  } finally {
    for (const { socket, other } of [limited, free]) {
      socket.on('error', () => {}).destroy()
      other.destroy()
    }
    server.close()
  }
})
