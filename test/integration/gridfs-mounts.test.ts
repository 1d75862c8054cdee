// Several mounts of a grid file system: what one has closed the others see, appended lines of both are all
// there, locks hold across mounts, and a removed file stays with whoever has it open.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startPosixAgent, type PosixAgent } from '../contract/posix/posix-agent.ts'
import { equal, fails, O } from '../contract/posix/posix-site.ts'
import { createGridSite, type GridSite } from '../lab/grid-site.ts'
import { withScope, type Scope } from '../lab/scope.ts'

interface TwoMounts {
  readonly site: GridSite
  readonly a: { readonly agent: PosixAgent; readonly folder: string }
  readonly b: { readonly agent: PosixAgent; readonly folder: string }
}

async function twoMounts(scope: Scope): Promise<TwoMounts> {
  const site = await createGridSite(scope)
  const mount = async (name: string) => ({
    folder: await site.mount(name),
    agent: startPosixAgent(scope),
  })
  return { site, a: await mount('a'), b: await mount('b') }
}

const skip = process.getuid?.() === 0 ? false : 'needs root'

describe('two mounts of a grid file system', { skip }, () => {
  test('see what the other has written and closed, made, renamed and removed, at once', async () => {
    await withScope(async (scope) => {
      const { a, b } = await twoMounts(scope)
      const [inA, inB] = [join(a.folder, 'file'), join(b.folder, 'file')]
      for (const content of ['first', 'longer than before', 'short']) {
        const fd = await a.agent.number('open', inA, O.CREAT | O.TRUNC | O.WRONLY, 0o644)
        await a.agent.call('write', fd, content)
        await a.agent.call('close', fd)
        const other = await b.agent.number('open', inB, O.RDONLY)
        await equal(b.agent.call('read', other, 100), content)
        await b.agent.call('close', other)
      }
      await a.agent.call('rename', inA, join(a.folder, 'renamed'))
      await equal(b.agent.call('list', b.folder), ['renamed'])
      await b.agent.call('unlink', join(b.folder, 'renamed'))
      await equal(a.agent.call('list', a.folder), [])
    })
  })

  test('append to one file, and no line is lost', async () => {
    await withScope(async (scope) => {
      const { a, b } = await twoMounts(scope)
      const lines = await Promise.all(
        [a, b].map(async ({ agent, folder }, index) => {
          const flags = O.CREAT | O.WRONLY | O.APPEND
          const fd = await agent.number('open', join(folder, 'log'), flags, 0o644)
          const written = Array.from({ length: 100 }, (_, line) => `mount ${index} line ${line}\n`)
          for (const line of written) await agent.call('write', fd, line)
          await agent.call('close', fd)
          return written
        }),
      )
      const fd = await a.agent.number('open', join(a.folder, 'log'), O.RDONLY)
      const content = String(await a.agent.call('read', fd, 100_000))
      assert.deepEqual(
        content.trimEnd().split('\n').sort(),
        lines
          .flat()
          .map((line) => line.trimEnd())
          .sort(),
      )
    })
  })

  test('open together what neither of them has seen, and one of them makes it', async () => {
    await withScope(async (scope) => {
      const { a, b } = await twoMounts(scope)
      for (let round = 0; round < 20; round += 1) {
        const open = ({ agent, folder }: TwoMounts['a']) =>
          agent.number('open', join(folder, `file ${round}`), O.CREAT | O.WRONLY, 0o644)
        const [inA, inB] = await Promise.all([open(a), open(b)])
        await Promise.all([a.agent.call('close', inA), b.agent.call('close', inB)])
      }
    })
  })

  test('keep each other out of what they lock', async () => {
    await withScope(async (scope) => {
      const { a, b } = await twoMounts(scope)
      const open = ({ agent, folder }: TwoMounts['a']) =>
        agent.number('open', join(folder, 'file'), O.CREAT | O.RDWR, 0o644)
      const [inA, inB] = [await open(a), await open(b)]
      await a.agent.call('lock', inA, 'write', 0, 10)
      await fails('EAGAIN', b.agent.call('lock', inB, 'write', 5, 1))
      await b.agent.call('lock', inB, 'write', 10, 1)
      await a.agent.call('flock', inA, 'write')
      const waits = b.agent.call('flock', inB, 'write', true)
      await a.agent.call('close', inA)
      await equal(waits, null)
      await b.agent.call('lock', inB, 'write', 0, 10)
    })
  })

  test('keep what they lock when the server is killed', async () => {
    await withScope(async (scope) => {
      const { a, b, site } = await twoMounts(scope)
      const open = ({ agent, folder }: TwoMounts['a']) =>
        agent.number('open', join(folder, 'file'), O.CREAT | O.RDWR, 0o644)
      const [inA, inB] = [await open(a), await open(b)]
      await a.agent.call('lock', inA, 'write', 0, 10)
      await a.agent.call('flock', inA, 'read')
      await site.server().stop('SIGKILL')
      await site.restart()
      await fails('EAGAIN', b.agent.call('lock', inB, 'write', 5, 1))
      await fails('EAGAIN', b.agent.call('flock', inB, 'write'))
      await b.agent.call('flock', inB, 'read')
      await site.server().stop('SIGTERM')
      await site.restart()
      const waits = b.agent.call('lock', inB, 'write', 0, 10, true)
      await a.agent.call('lock', inA, 'unlock', 0, 10)
      await equal(waits, null)
    })
  })

  test('refuse offsets that the wire does not carry, and go on', async () => {
    await withScope(async (scope) => {
      const { a } = await twoMounts(scope)
      const fd = await a.agent.number('open', join(a.folder, 'file'), O.CREAT | O.RDWR, 0o644)
      const moreThanSlots = 100
      for (let call = 0; call < moreThanSlots; call += 1) {
        await fails('EFBIG', a.agent.call('fallocate', fd, 0, 2 ** 60, 1))
      }
      await a.agent.call('pwrite', fd, 'content', 0)
      await equal(a.agent.call('pread', fd, 7, 0), 'content')
      await a.agent.call('close', fd)
    })
  })

  test('use a file that the other has removed, also after the server was killed', async () => {
    await withScope(async (scope) => {
      const { site, a, b } = await twoMounts(scope)
      const fd = await a.agent.number('open', join(a.folder, 'file'), O.CREAT | O.RDWR, 0o644)
      await a.agent.call('write', fd, 'content')
      await a.agent.call('fsync', fd)
      await b.agent.call('unlink', join(b.folder, 'file'))
      await site.server().stop('SIGKILL')
      await site.restart()
      await equal(a.agent.call('pread', fd, 7, 0), 'content')
      assert.equal((await a.agent.fstat(fd)).links, 0)
      await equal(b.agent.call('list', b.folder), [])
      await a.agent.call('close', fd)
      await equal(a.agent.call('list', a.folder), [])
      await b.agent.call('stat', b.folder) // the server has heard of the closing
      const hidden = await readdir(join(site.directory, '.swarmimager-gridfs'))
      assert.deepEqual(hidden, [])
    })
  })
})
