// A server whose machine loses power, on a disk that forgets what was not flushed: what programs on a mount
// have written, and have not synchronised, is there all the same, or they are told. Errors of a server whose
// disk is full reach whoever has the file open.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { startPosixAgent } from '../contract/posix/posix-agent.ts'
import { equal, fails, O } from '../contract/posix/posix-site.ts'
import { createForgetfulDisk } from '../lab/forgetful-disk.ts'
import { createGridSite, type GridSite } from '../lab/grid-site.ts'
import { attachLoop } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'

const DISK_BYTES = 64 * 2 ** 20
const SMALL_DISK_BYTES = 8 * 2 ** 20
const BLOCK_BYTES = 2 ** 20

interface ForgetfulSite {
  readonly site: GridSite
  readonly folder: string
  /** The machine of the server has lost power, and is back: what was not flushed is gone. */
  losePower(options?: { readonly whileAway?: () => Promise<void> }): Promise<void>
}

async function mountDisk(scope: Scope, device: string, directory: string): Promise<void> {
  scope.defer(directory, () => run('umount', ['-l', directory], { okExitCodes: [0, 32] }))
  await run('mount', ['-t', 'ext4', device, directory])
}

async function forgetfulSite(scope: Scope): Promise<ForgetfulSite> {
  const disk = await createForgetfulDisk(scope, { name: 'disk', sizeBytes: DISK_BYTES })
  await run('mkfs.ext4', ['-q', disk.device])
  const directory = join(scope.directory, 'export')
  await mkdir(directory)
  await mountDisk(scope, disk.device, directory)
  const site = await createGridSite(scope, { directory })
  const folder = await site.mount('mounted')
  return {
    ...{ site, folder },
    async losePower({ whileAway } = {}) {
      await site.server().stop('SIGKILL')
      const cut = await disk.cutPower('cut')
      const remains = await cut.remains(() => false)
      await run('umount', ['-l', directory])
      const { device } = await attachLoop(scope, remains, DISK_BYTES)
      await mountDisk(scope, device, directory)
      await whileAway?.()
      await site.restart()
    },
  }
}

const skip = process.getuid?.() === 0 ? false : 'needs root'

describe('what a grid server has not synchronised', { skip }, () => {
  test('is written again when its machine has lost power', async () => {
    await withScope(async (scope) => {
      const { site, folder, losePower } = await forgetfulSite(scope)
      const agent = startPosixAgent(scope)
      const at = (name: string) => join(folder, name)
      const make = async (name: string, flags: number) => {
        const fd = await agent.number('open', at(name), O.CREAT | O.RDWR | flags, 0o644)
        await agent.call('write', fd, 'was there before, and is on the disk')
        await agent.call('fsync', fd)
        return fd
      }
      const written = await make('written', 0)
      const appended = await make('appended', O.APPEND)
      const closed = await make('closed', 0)
      await agent.call('pwrite', written, 'WAS', 0)
      await agent.call('pwrite', written, 'x'.repeat(300_000), 100)
      await agent.call('ftruncate', written, 200_000)
      await agent.call('write', appended, ', and more')
      await agent.call('close', closed)
      const cut = await agent.number('open', at('closed'), O.WRONLY | O.TRUNC)
      await agent.call('write', cut, 'short')
      await agent.call('close', cut)
      await losePower({
        async whileAway() {
          const forgotten = await readFile(join(site.directory, 'written'), 'latin1')
          assert.match(forgotten, /^was there before, and is on the disk$/)
        },
      })
      await agent.call('fsync', written)
      await agent.call('fsync', appended)
      const content = (name: string) => readFile(join(site.directory, name), 'latin1')
      const before = 'WAS there before, and is on the disk'
      const expected = `${before}${'\0'.repeat(100 - before.length)}`.padEnd(200_000, 'x')
      assert.ok((await content('written')) === expected)
      assert.equal(await content('appended'), 'was there before, and is on the disk, and more')
      assert.equal(await content('closed'), 'short')
    })
  })

  test('is told as an error, once, when it died with the process of the mount', async () => {
    await withScope(async (scope) => {
      const { site, folder, losePower } = await forgetfulSite(scope)
      const agent = startPosixAgent(scope)
      const fd = await agent.number('open', join(folder, 'file'), O.CREAT | O.RDWR, 0o644)
      await agent.call('fsync', fd)
      await agent.call('write', fd, 'content')
      await agent.fstat(fd) // the server has it
      const worker = await site.worker('mounted')
      await losePower({
        whileAway: () => Promise.resolve(void process.kill(worker, 'SIGKILL')),
      })
      await fails('EIO', agent.call('fsync', fd))
      await agent.call('fsync', fd)
      await agent.call('close', fd)
    })
  })

  test('does not fit: whoever has the file open is told, each once', async () => {
    await withScope(async (scope) => {
      const image = join(scope.directory, 'small.img')
      await writeFile(image, '')
      await run('truncate', ['-s', `${SMALL_DISK_BYTES}`, image])
      const { device } = await attachLoop(scope, image, SMALL_DISK_BYTES)
      await run('mkfs.ext4', ['-q', device])
      const directory = join(scope.directory, 'export')
      await mkdir(directory)
      await mountDisk(scope, device, directory)
      const site = await createGridSite(scope, { directory })
      const file = join(await site.mount('mounted'), 'file')
      const agent = startPosixAgent(scope)
      const first = await agent.number('open', file, O.CREAT | O.RDWR, 0o644)
      const second = await agent.number('open', file, O.RDWR)
      for (let at = 0; at < 2 * SMALL_DISK_BYTES; at += BLOCK_BYTES) {
        await agent.call('pwrite', first, 'x'.repeat(BLOCK_BYTES), at)
      }
      await fails('ENOSPC', agent.call('fsync', first))
      await agent.call('fsync', first)
      await fails('ENOSPC', agent.call('fsync', second))
      await agent.call('fsync', second)
      await equal(agent.call('close', first), null)
    })
  })
})
