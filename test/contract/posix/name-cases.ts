// Names and what they lead to: creating, removing, links, special files, long and strange names, loops.
import assert from 'node:assert/strict'
import { ROOT } from './posix-agent.ts'
import { equal, fails, O, type PosixCase, type PosixSite } from './posix-site.ts'

/** Calls that make something at a path, each with what lstat says of it then. */
const MAKERS = {
  file: (path: string) => ['open', path, O.CREAT | O.EXCL | O.WRONLY, 0o640],
  folder: (path: string) => ['mkdir', path, 0o750],
  fifo: (path: string) => ['mkfifo', path, 0o640],
  character: (path: string) => ['mknod', path, 0o020640, 1, 3],
  block: (path: string) => ['mknod', path, 0o060640, 7, 300],
  socket: (path: string) => ['mknod', path, 0o140640, 0, 0],
  symlink: (path: string) => ['symlink', 'target', path],
} as const

type Kind = keyof typeof MAKERS
const KINDS = Object.keys(MAKERS) as Kind[]

async function make(site: PosixSite, kind: Kind, path: string): Promise<void> {
  const [call, ...args] = MAKERS[kind](path)
  const made = await site.agent.call(call as string, ...args)
  if (kind === 'file') await site.agent.call('close', made)
}

const removerOf = (kind: Kind) => (kind === 'folder' ? 'rmdir' : 'unlink')
const isDevice = (kind: Kind) => kind === 'character' || kind === 'block'
const LONGEST = 'n'.repeat(255)

const madeCases = KINDS.flatMap((kind): PosixCase[] => [
  [
    `a new ${kind} is one, with its mode, owner and one link`,
    async (site) => {
      const who = isDevice(kind) ? ROOT : { uid: 7001, gid: 7002 }
      await site.agent.as(who, () => make(site, kind, site.at('new')))
      const status = await site.agent.status(site.at('new'))
      assert.equal(status.type, kind)
      assert.deepEqual([status.uid, status.gid], [who.uid, who.gid])
      assert.equal(status.links, kind === 'folder' ? 2 : 1)
      const mode = { folder: 0o750, symlink: 0o777 }[kind as string] ?? 0o640
      assert.equal(status.mode, mode)
      if (kind === 'character') assert.deepEqual(status.device, [1, 3])
      if (kind === 'block') assert.deepEqual(status.device, [7, 300])
    },
  ],
  [
    `a ${kind} can be removed, and then is no more`,
    async (site) => {
      await make(site, kind, site.at('new'))
      await site.agent.call(removerOf(kind), site.at('new'))
      await fails('ENOENT', site.agent.call('lstat', site.at('new')))
      await equal(site.agent.call('list', site.folder), [])
    },
  ],
  [
    `a ${kind} cannot be made where something is`,
    async (site) => {
      for (const there of KINDS) {
        await make(site, there, site.at(`${there}-there`))
        await fails('EEXIST', make(site, kind, site.at(`${there}-there`)))
      }
    },
  ],
  [
    `a ${kind} cannot be made below what is no folder, or is not there`,
    async (site) => {
      const file = await site.file('file')
      await fails('ENOTDIR', make(site, kind, `${file}/new`))
      await fails('ENOENT', make(site, kind, site.at('none/new')))
    },
  ],
  [
    `a ${kind} may have a name of 255 bytes, not of 256`,
    async (site) => {
      await make(site, kind, site.at(LONGEST))
      await equal(site.agent.call('list', site.folder), [LONGEST])
      await site.agent.call(removerOf(kind), site.at(LONGEST))
      await fails('ENAMETOOLONG', make(site, kind, site.at(`${LONGEST}n`)))
    },
  ],
  [
    `a ${kind} cannot be made through a loop of symbolic links`,
    async (site) => {
      await site.agent.call('symlink', 'b', site.at('a'))
      await site.agent.call('symlink', 'a', site.at('b'))
      await fails('ELOOP', make(site, kind, site.at('a/new')))
    },
  ],
  [
    `a ${kind} changes the time of the folder that it is made in and removed from`,
    async (site) => {
      await site.agent.call('utimens', site.folder, '1000', '1000')
      await make(site, kind, site.at('new'))
      assert.ok((await site.agent.status(site.folder)).mtime > 1000n)
      await site.agent.call('utimens', site.folder, '1000', '1000')
      await site.agent.call(removerOf(kind), site.at('new'))
      assert.ok((await site.agent.status(site.folder)).mtime > 1000n)
    },
  ],
])

const removingCases: readonly PosixCase[] = [
  [
    'a folder with something in it is not removed',
    async (site) => {
      const folder = await site.directory('folder')
      await site.file('folder/file')
      await fails(['ENOTEMPTY', 'EEXIST'], site.agent.call('rmdir', folder))
      await equal(site.agent.call('list', folder), ['file'])
    },
  ],
  [
    'rmdir of what is no folder, and unlink of what is one, fail',
    async (site) => {
      await fails('ENOTDIR', site.agent.call('rmdir', await site.file('file')))
      await fails(['EISDIR', 'EPERM'], site.agent.call('unlink', await site.directory('folder')))
    },
  ],
  [
    'a folder cannot be removed as "." or ".."',
    async (site) => {
      const folder = await site.directory('folder')
      await fails('EINVAL', site.agent.call('rmdir', `${folder}/.`))
      await site.directory('folder/below')
      await fails(['ENOTEMPTY', 'EEXIST'], site.agent.call('rmdir', `${folder}/below/..`))
    },
  ],
  [
    'what is not there cannot be removed',
    async (site) => {
      await fails('ENOENT', site.agent.call('unlink', site.at('none')))
      await fails('ENOENT', site.agent.call('rmdir', site.at('none')))
      await fails('ENOENT', site.agent.call('unlink', site.at('none/none')))
    },
  ],
  [
    'a folder counts the folders in it as links',
    async (site) => {
      const folder = await site.directory('folder')
      const links = async () => (await site.agent.status(folder)).links
      await site.directory('folder/a')
      await site.directory('folder/b')
      await site.file('folder/file')
      assert.equal(await links(), 4)
      await site.agent.call('rmdir', `${folder}/a`)
      assert.equal(await links(), 3)
    },
  ],
]

const linkCases: readonly PosixCase[] = [
  [
    'a hard link is the same file',
    async (site) => {
      const file = await site.file('file', 'content')
      await site.agent.call('link', file, site.at('link'))
      const [a, b] = [await site.agent.status(file), await site.agent.status(site.at('link'))]
      assert.equal(a.inode, b.inode)
      assert.deepEqual([a.links, b.links], [2, 2])
      await site.agent.call('chmod', site.at('link'), 0o600)
      assert.equal((await site.agent.status(file)).mode, 0o600)
      await site.agent.call('unlink', file)
      assert.equal((await site.agent.status(site.at('link'))).links, 1)
    },
  ],
  [
    'linking and unlinking change the time of the status of the file',
    async (site) => {
      const file = await site.file('file')
      const before = await site.agent.status(file)
      await site.agent.call('link', file, site.at('link'))
      const linked = await site.agent.status(file)
      assert.ok(linked.ctime > before.ctime)
      assert.equal(linked.mtime, before.mtime)
      await site.agent.call('unlink', site.at('link'))
      assert.ok((await site.agent.status(file)).ctime > linked.ctime)
    },
  ],
  [
    'a folder cannot be linked, nor a file onto what is there',
    async (site) => {
      const folder = await site.directory('folder')
      const file = await site.file('file')
      await fails('EPERM', site.agent.call('link', folder, site.at('new')))
      await fails('EEXIST', site.agent.call('link', file, folder))
      await fails('ENOENT', site.agent.call('link', site.at('none'), site.at('new')))
      await fails('ENAMETOOLONG', site.agent.call('link', file, site.at(`${LONGEST}n`)))
    },
  ],
  [
    'special files and symbolic links can be linked',
    async (site) => {
      for (const kind of ['fifo', 'socket', 'character', 'symlink'] as const) {
        await make(site, kind, site.at(kind))
        await site.agent.call('link', site.at(kind), site.at(`${kind}-link`))
        assert.equal((await site.agent.status(site.at(`${kind}-link`))).type, kind)
      }
    },
  ],
  [
    'a symbolic link keeps its target as it is, whatever it is',
    async (site) => {
      for (const [name, target] of Object.entries({ a: '/', b: '..//x/', c: 'é'.repeat(400) })) {
        await site.agent.call('symlink', target, site.at(name))
        await equal(site.agent.call('readlink', site.at(name)), target)
        assert.equal((await site.agent.status(site.at(name))).size, target.length)
      }
      await fails('ENAMETOOLONG', site.agent.call('symlink', 'x'.repeat(4096), site.at('d')))
      await fails('ENOENT', site.agent.call('symlink', '', site.at('e')))
      await fails('EINVAL', site.agent.call('readlink', await site.file('file')))
    },
  ],
  [
    'a symbolic link is followed, unless its end is asked for',
    async (site) => {
      await site.file('file', 'content')
      await site.agent.call('symlink', 'file', site.at('link'))
      assert.equal((await site.agent.status(site.at('link'), 'stat')).type, 'file')
      await fails('ELOOP', site.agent.call('open', site.at('link'), O.RDONLY | O.NOFOLLOW))
      await site.agent.call('unlink', site.at('link'))
      await equal(site.agent.call('list', site.folder), ['file'])
    },
  ],
  [
    'a link to nothing can be made a file by opening, not with O_EXCL',
    async (site) => {
      await site.agent.call('symlink', 'later', site.at('link'))
      await fails('ENOENT', site.agent.call('stat', site.at('link')))
      await fails('EEXIST', site.agent.call('open', site.at('link'), O.CREAT | O.EXCL | O.WRONLY))
      await site.agent.call('open', site.at('link'), O.CREAT | O.WRONLY, 0o644)
      assert.equal((await site.agent.status(site.at('later'))).type, 'file')
    },
  ],
  [
    'a chain of 40 symbolic links is followed, a longer one is a loop',
    async (site) => {
      await site.file('l0')
      for (let index = 1; index <= 41; index += 1) {
        await site.agent.call('symlink', `l${index - 1}`, site.at(`l${index}`))
      }
      await site.agent.call('stat', site.at('l40'))
      await fails('ELOOP', site.agent.call('stat', site.at('l41')))
    },
  ],
]

const strangeCases: readonly PosixCase[] = [
  [
    'names are bytes: blanks, line ends, no UTF-8, every byte but slash and NUL',
    async (site) => {
      const bytes = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1))
      const names = [
        ' ',
        '\n',
        '\xff\xfe',
        '-',
        '...',
        '.a',
        bytes.filter((c) => c !== '/').join(''),
      ]
      for (const name of names) await site.file(name)
      await equal(site.agent.call('list', site.folder), [...names].sort())
      for (const name of names) await site.agent.call('unlink', site.at(name))
      await equal(site.agent.call('list', site.folder), [])
    },
  ],
  [
    'names that differ in case, or in how they are composed, are different files',
    async (site) => {
      const names = ['A', 'a', '\xc3\xa9', 'e\xcc\x81']
      for (const name of names) await site.file(name)
      await equal(site.agent.call('list', site.folder), [...names].sort())
    },
  ],
  [
    'a path may have 4095 bytes, not more',
    async (site) => {
      const room = 4095 - site.folder.length
      const path = `${site.folder}${'/'.repeat(room - 1)}f`
      await site.agent.call('mkdir', path, 0o755)
      await fails(
        'ENAMETOOLONG',
        site.agent.call('rmdir', `${site.folder}/${'/'.repeat(room - 1)}f`),
      )
    },
  ],
  [
    'a slash at the end asks for a folder',
    async (site) => {
      const file = await site.file('file')
      await fails('ENOTDIR', site.agent.call('stat', `${file}/`))
      await fails('EISDIR', site.agent.call('open', site.at('new/'), O.CREAT | O.WRONLY, 0o644))
      await site.agent.call('mkdir', site.at('folder/'), 0o755)
      await site.agent.call('rename', site.at('folder/'), site.at('renamed/'))
      await fails(['ENOTDIR'], site.agent.call('rename', file, site.at('moved/')))
    },
  ],
  [
    'a folder of 5000 names lists each once, and loses those removed',
    async (site) => {
      const names = Array.from({ length: 5000 }, (_, index) => `name-${index}`)
      for (const name of names) await site.agent.call('mknod', site.at(name), 0o100644, 0, 0)
      await equal(site.agent.call('list', site.folder), [...names].sort())
      for (const name of names.slice(0, 2500)) await site.agent.call('unlink', site.at(name))
      await equal(site.agent.call('list', site.folder), names.slice(2500).sort())
    },
  ],
]

export const nameCases = [...madeCases, ...removingCases, ...linkCases, ...strangeCases]
