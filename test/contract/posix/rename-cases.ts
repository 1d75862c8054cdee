// rename(2) and renameat2(2): every kind over every kind, into itself, with the sticky bit, exchanging.
import assert from 'node:assert/strict'
import { fails, equal, O, type PosixCase, type PosixSite } from './posix-site.ts'

const NOREPLACE = 1
const EXCHANGE = 2

type Kind = 'file' | 'folder' | 'full folder' | 'symlink' | 'fifo'
const KINDS: readonly Kind[] = ['file', 'folder', 'full folder', 'symlink', 'fifo']

async function make(site: PosixSite, kind: Kind, name: string): Promise<string> {
  switch (kind) {
    case 'file':
      return site.file(name, name)
    case 'folder':
      return site.directory(name)
    case 'full folder':
      await site.directory(name)
      await site.file(`${name}/in-${name}`)
      return site.at(name)
    case 'symlink':
      await site.agent.call('symlink', 'nowhere', site.at(name))
      return site.at(name)
    case 'fifo':
      await site.agent.call('mkfifo', site.at(name), 0o644)
      return site.at(name)
    default:
      return kind satisfies never
  }
}

const isFolder = (kind: Kind) => kind.endsWith('folder')

function outcome(from: Kind, to: Kind): readonly string[] | undefined {
  if (isFolder(from) && !isFolder(to)) return ['ENOTDIR']
  if (!isFolder(from) && isFolder(to)) return ['EISDIR']
  return to === 'full folder' ? ['ENOTEMPTY', 'EEXIST'] : undefined
}

const overCases = KINDS.flatMap((from) =>
  KINDS.map((to): PosixCase => {
    const errnos = outcome(from, to)
    const result = errnos === undefined ? 'replaces it' : `fails with ${errnos[0]}`
    return [
      `renaming a ${from} over a ${to} ${result}`,
      async (site) => {
        const [a, b] = [await make(site, from, 'a'), await make(site, to, 'b')]
        const [was, other] = [await site.agent.status(a), await site.agent.status(b)]
        if (errnos !== undefined) {
          await fails(errnos, site.agent.call('rename', a, b))
          assert.equal((await site.agent.status(a)).inode, was.inode)
          assert.equal((await site.agent.status(b)).inode, other.inode)
          return
        }
        await site.agent.call('rename', a, b)
        await fails('ENOENT', site.agent.call('lstat', a))
        assert.equal((await site.agent.status(b)).inode, was.inode)
      },
    ]
  }),
)

const singleCases: readonly PosixCase[] = [
  [
    'a file keeps its number, times of content, owner and mode when renamed',
    async (site) => {
      const file = await site.file('file', 'content')
      const before = await site.agent.status(file)
      await site.agent.call('rename', file, site.at('renamed'))
      const after = await site.agent.status(site.at('renamed'))
      const kept = ({ inode, mtime, uid, gid, mode, size, links }: typeof after) => ({
        ...{ inode, mtime, uid, gid, mode, size, links },
      })
      assert.deepEqual(kept(after), kept(before))
    },
  ],
  [
    'both folders of a rename get new times',
    async (site) => {
      const [a, b] = [await site.directory('a'), await site.directory('b')]
      await site.file('a/file')
      for (const path of [a, b]) await site.agent.call('utimens', path, '1000', '1000')
      await site.agent.call('rename', `${a}/file`, `${b}/file`)
      for (const path of [a, b]) assert.ok((await site.agent.status(path)).mtime > 1000n)
    },
  ],
  [
    'renaming one name of a file over another of the same file does nothing',
    async (site) => {
      const file = await site.file('file')
      await site.agent.call('link', file, site.at('link'))
      await site.agent.call('rename', file, site.at('link'))
      await equal(site.agent.call('list', site.folder), ['file', 'link'])
    },
  ],
  [
    'a folder that moves takes its link of ".." along',
    async (site) => {
      const [a, b] = [await site.directory('a'), await site.directory('b')]
      await site.directory('a/moved')
      await site.file('a/moved/file', 'content')
      await site.agent.call('rename', `${a}/moved`, `${b}/moved`)
      assert.equal((await site.agent.status(a)).links, 2)
      assert.equal((await site.agent.status(b)).links, 3)
      const up = await site.agent.status(`${b}/moved/..`)
      assert.equal(up.inode, (await site.agent.status(b)).inode)
      await equal(site.agent.call('list', `${b}/moved`), ['file'])
    },
  ],
  [
    'a folder does not move into itself or below itself',
    async (site) => {
      const folder = await site.directory('folder')
      await site.directory('folder/below')
      await fails('EINVAL', site.agent.call('rename', folder, `${folder}/new`))
      await fails('EINVAL', site.agent.call('rename', folder, `${folder}/below/new`))
      await fails(['ENOTEMPTY', 'EINVAL'], site.agent.call('rename', `${folder}/below`, folder))
    },
  ],
  [
    '"." and ".." are not renamed',
    async (site) => {
      const folder = await site.directory('folder')
      await fails(['EBUSY', 'EINVAL'], site.agent.call('rename', `${folder}/.`, site.at('new')))
      await fails(['EBUSY', 'EINVAL'], site.agent.call('rename', `${folder}/..`, site.at('new')))
    },
  ],
  [
    'what is not there is not renamed, nor to where nothing can be',
    async (site) => {
      const file = await site.file('file')
      await fails('ENOENT', site.agent.call('rename', site.at('none'), site.at('new')))
      await fails('ENOENT', site.agent.call('rename', file, site.at('none/new')))
      await fails('ENOTDIR', site.agent.call('rename', site.at('file/x'), site.at('new')))
      await fails('ENAMETOOLONG', site.agent.call('rename', file, site.at('n'.repeat(256))))
    },
  ],
  [
    'an open file that is replaced stays readable',
    async (site) => {
      const [a, b] = [await site.file('a', 'new'), await site.file('b', 'old')]
      const fd = await site.agent.number('open', b, O.RDONLY)
      await site.agent.call('rename', a, b)
      await equal(site.agent.call('read', fd, 10), 'old')
      assert.equal((await site.agent.fstat(fd)).links, 0)
      await site.agent.call('close', fd)
    },
  ],
  [
    'RENAME_NOREPLACE refuses what is there, and renames otherwise',
    async (site) => {
      const [a, b] = [await site.file('a'), await site.file('b')]
      await fails('EEXIST', site.agent.call('rename2', a, b, NOREPLACE))
      await site.agent.call('rename2', a, site.at('c'), NOREPLACE)
      await equal(site.agent.call('list', site.folder), ['b', 'c'])
    },
  ],
  [
    'RENAME_EXCHANGE swaps a file and a full folder, and needs both',
    async (site) => {
      const [file, folder] = [await site.file('file'), await site.directory('folder')]
      await site.directory('folder/below')
      const before = [await site.agent.status(file), await site.agent.status(folder)]
      await site.agent.call('rename2', file, folder, EXCHANGE)
      const after = [await site.agent.status(folder), await site.agent.status(file)]
      assert.deepEqual(
        after.map(({ inode, type }) => [inode, type]),
        before.map(({ inode, type }) => [inode, type]),
      )
      await fails('ENOENT', site.agent.call('rename2', file, site.at('none'), EXCHANGE))
    },
  ],
]

export const renameCases = [...overCases, ...singleCases]
