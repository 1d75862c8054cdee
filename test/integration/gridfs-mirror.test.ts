// Several servers as one file system: all of them hold the same after whatever happens to one of them.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startPosixAgent, type PosixAgent } from '../contract/posix/posix-agent.ts'
import { O } from '../contract/posix/posix-site.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { createMirrorSite, type MirrorServer, type MirrorSite } from '../lab/mirror-site.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'

const HIDDEN = '.swarmimager-gridfs'
const MIB = 2 ** 20
const skip = process.getuid?.() === 0 ? false : 'needs root'

/** What is different between the first of some servers and the others. */
async function differences([first, ...others]: readonly MirrorServer[]): Promise<string[]> {
  const found: string[] = []
  for (const { directory } of others) {
    const excludes = [`/${HIDDEN}`]
    found.push(...(await compareTrees(first?.directory ?? '', directory, { excludes })))
  }
  return found
}

interface Healed {
  readonly member: string
  readonly state: string
  readonly movedBytes: number
  readonly comparedBytes: number
}

async function heal(site: MirrorSite, options: readonly string[] = []): Promise<readonly Healed[]> {
  const lines = (await site.heal(options)).trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Healed)
}

/** Names of members of which a server says that they have missed something. */
async function dirtyOn({ directory }: MirrorServer): Promise<readonly string[]> {
  const names = await readdir(join(directory, HIDDEN, 'mirror'))
  return names
    .filter((name) => name.startsWith('missed-'))
    .map((name) => decodeURIComponent(name.slice('missed-'.length)))
}

const [FIRST, SECOND, THIRD] = [0, 1, 2] as const
const server = ({ servers }: MirrorSite, index: number) => servers[index] as MirrorServer

describe('a mirror of three servers', { skip }, () => {
  test('writes the same to all of them, with the same times', async () => {
    await withScope(async (scope) => {
      const site = await createMirrorSite(scope, { count: 3 })
      const folder = await site.mount('mounted')
      await mkdir(join(folder, 'a/b'), { recursive: true })
      await writeFile(join(folder, 'a/b/file'), 'content')
      assert.equal(await readFile(join(folder, 'a/b/file'), 'utf8'), 'content')
      assert.deepEqual(await readdir(folder), ['a'])
      assert.deepEqual(await differences(site.servers), [])
    })
  })

  for (const index of [FIRST, SECOND, THIRD]) {
    test(`goes on when server ${index + 1} is killed, which is healed by its changed blocks`, async () => {
      await withScope((scope) => loseAndHeal(scope, index))
    })
  }

  test('waits without a majority, and goes on with one', async () => {
    await withScope(async (scope) => {
      const site = await createMirrorSite(scope, { count: 3 })
      const folder = await site.mount('mounted')
      await writeFile(join(folder, 'before'), 'content')
      await mkdir(join(folder, 'busy')) // a folder in which something is made cannot be listed
      await server(site, FIRST).kill()
      await server(site, THIRD).kill()
      let isDone = false
      const writing = writeFile(join(folder, 'busy/during'), 'content').then(() => (isDone = true))
      assert.equal(await readFile(join(folder, 'before'), 'utf8'), 'content')
      assert.deepEqual((await readdir(folder)).sort(), ['before', 'busy'])
      assert.equal(isDone, false)
      await server(site, FIRST).restart()
      await writing
      assert.equal(await readFile(join(folder, 'busy/during'), 'utf8'), 'content')
      await server(site, THIRD).restart()
      await heal(site)
      assert.deepEqual(await differences(site.servers), [])
    })
  })

  test('is the same everywhere after two mounts have changed the same names and bytes', async () => {
    await withScope(async (scope) => {
      const site = await createMirrorSite(scope, { count: 3 })
      const folders = [await site.mount('a'), await site.mount('b')]
      const shared = join(folders[0] ?? '', 'shared')
      await writeFile(shared, Buffer.alloc(8 * 4096))
      await Promise.all(
        folders.map((folder, mount) => contend(startPosixAgent(scope), folder, mount)),
      )
      await settle(site, folders)
      assert.deepEqual(await differences(site.servers), [])
    })
  })

  test('is the same everywhere after a mount was killed in the middle of changes', async () => {
    await withScope(async (scope) => {
      const site = await createMirrorSite(scope, { count: 3 })
      const folder = await site.mount('victim')
      const other = await site.mount('other')
      const agent = startPosixAgent(scope)
      const working = contend(agent, folder, 0).catch(() => 'killed')
      await waitFor('some changes', async () => (await readdir(other)).length > 3, {
        ...{ deadlineMs: 20_000, signal: scope.signal },
      })
      await site.killMount('victim')
      assert.equal(await working, 'killed')
      await writeFile(join(other, 'after'), 'content')
      await settle(site, [other])
      assert.deepEqual(await differences(site.servers), [])
    })
  })
})

/** A file of 32 MiB is there, another is being written, names change; then a server is gone, and returns. */
async function loseAndHeal(scope: Scope, index: number): Promise<void> {
  const site = await createMirrorSite(scope, { count: 3 })
  const folder = await site.mount('mounted')
  const large = randomBytes(32 * MIB)
  await writeFile(join(folder, 'large'), large)
  await mkdir(join(folder, 'old'))
  await writeFile(join(folder, 'old/inside'), large.subarray(0, MIB))
  await writeFile(join(folder, 'removed'), 'content')
  const reading = await open(join(folder, 'large'))
  const file = await open(join(folder, 'written'), 'w')
  for (let block = 0; block < 8; block += 1) {
    if (block === 4) await server(site, index).kill()
    await file.write(large, block * MIB, MIB, block * MIB)
  }
  await file.sync()
  await file.close()
  const half = Buffer.alloc(16 * MIB)
  await reading.read(half, 0, half.length, 16 * MIB)
  assert.ok(half.equals(large.subarray(16 * MIB)))
  await reading.close()
  const changed = await open(join(folder, 'large'), 'r+')
  await changed.write('changed', 5 * MIB)
  await changed.close()
  await rename(join(folder, 'old'), join(folder, 'new'))
  await rm(join(folder, 'removed'))
  const rest = site.servers.filter((one) => one !== server(site, index))
  assert.deepEqual(await differences(rest), [])
  for (const one of rest) assert.deepEqual(await dirtyOn(one), [server(site, index).name])
  await server(site, index).restart()
  const healed = (await heal(site)).find(({ member }) => member === server(site, index).name)
  assert.equal(healed?.state, 'healed')
  assert.deepEqual(await differences(site.servers), [])
  // Half of what was being written, a block of what was changed; nothing of what was renamed.
  assert.ok(healed.movedBytes <= 9 * MIB, `${healed.movedBytes} bytes were moved`)
  for (const one of site.servers) assert.deepEqual(await dirtyOn(one), [])
  await writeFile(join(folder, 'after'), 'content')
  await settle(site, [folder])
  assert.deepEqual(await differences(site.servers), [])
}

/** Makes, removes, renames and writes what another does, too; all but who is first may fail. */
async function contend(agent: PosixAgent, folder: string, mount: number): Promise<void> {
  const at = (name: string) => join(folder, name)
  const fd = await agent.number('open', at('shared'), O.CREAT | O.RDWR, 0o644)
  for (let round = 0; round < 60; round += 1) {
    const text = `${mount}${round}`.padStart(4, '-').repeat(1024)
    await agent.call('pwrite', fd, text, (round % 8) * 4096)
    const calls = [
      ['mkdir', at(`folder${round % 5}`), 0o755],
      ['rename', at(`folder${round % 5}`), at(`renamed${round % 3}`)],
      ['symlink', `${mount}`, at(`link${round % 7}`)],
      ['rename', at(`link${round % 7}`), at('moved')],
      ['mknod', at(`file${round}`), 0o100644, 0, 0],
      ['rmdir', at(`renamed${round % 3}`)],
    ] as const
    for (const [call, ...args] of calls) await agent.call(call, ...args).catch(() => {})
  }
  await agent.call('close', fd)
}

/** All changes have been made everywhere when nobody holds the mirror any more. */
async function settle(site: MirrorSite, folders: readonly string[]): Promise<void> {
  for (const [index, folder] of folders.entries()) await writeFile(join(folder, `last${index}`), '')
  await waitFor(
    'all changes to be let go',
    async () => {
      const changing = site.servers.map(({ directory }) =>
        readFile(join(directory, HIDDEN, 'mirror/changing'), 'utf8'),
      )
      return (await Promise.all(changing)).every((text) => text === '')
    },
    { deadlineMs: 10_000 },
  )
}
