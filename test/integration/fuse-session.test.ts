// The FUSE binding against the kernel: interrupted callers, invalidations, errors and faults of a file
// system, the end of a mount. The file system here is one file whose content the test sets.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run, mountFuse, start, unmount } from '../../src/host/host.ts'
import {
  FuseError,
  startFuseSession,
  type Caller,
  type FileAttributes,
  type FuseSession,
} from '../../src/gridfs/gridfs.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'

const FILE_NODE = 2
const HOUR_MS = 3_600_000

interface Stage {
  readonly path: string
  readonly session: FuseSession
  readonly faults: unknown[]
  content: Buffer
  /** What opening does instead of succeeding. */
  onOpen: ((caller: Caller) => Promise<never>) | undefined
}

async function mountStage(scope: Scope): Promise<Stage> {
  const directory = join(scope.directory, 'mounted')
  await mkdir(directory)
  const options = { source: 'test', directory, subtype: 'test', maximumReadBytes: 2 ** 20 }
  scope.defer(directory, () => run('umount', ['-l', directory], { okExitCodes: [0, 32] }))
  const device = await mountFuse(options)
  const faults: unknown[] = []
  const attributes = (node: number): FileAttributes => ({
    ...{ inode: BigInt(node), sizeBytes: node === FILE_NODE ? stage.content.length : 0 },
    ...{ mode: node === FILE_NODE ? 0o100644 : 0o040755, linkCount: 1, uid: 0, gid: 0 },
    ...{ blocks: 0, device: 0, blockSizeBytes: 4096 },
    ...{ accessedNs: 0n, modifiedNs: 0n, changedNs: 0n },
  })
  const session = startFuseSession({
    fd: device.fd,
    onFault: (error) => faults.push(error),
    fileSystem: {
      handlers: {
        lookup(_parent, { name }) {
          if (name.toString() !== 'file') throw new FuseError('ENOENT')
          const valid = { nameValidMs: HOUR_MS, attributesValidMs: HOUR_MS }
          return { nodeId: FILE_NODE, generation: 0, attributes: attributes(FILE_NODE), ...valid }
        },
        getattr: (node) => ({ attributes: attributes(node), validMs: HOUR_MS }),
        open: (_node, _fields, caller) => stage.onOpen?.(caller) ?? { handle: 1, keepsCache: true },
        read: (_node, { offset, sizeBytes }) => stage.content.subarray(offset, offset + sizeBytes),
      },
      forget: () => {},
      capabilities: () => ['asyncRead', 'bigWrites', 'maximumPages', 'explicitInvalidateData'],
    },
  })
  const stage: Stage = {
    ...{ path: join(directory, 'file'), session, faults },
    ...{ content: Buffer.from('one'), onOpen: undefined },
  }
  scope.defer('the session', async () => {
    await run('umount', ['-l', directory], { okExitCodes: [0, 32] })
    await session.ended
    await device.close()
  })
  await session.ready
  return stage
}

const skip = process.getuid?.() === 0 ? false : 'needs root'
const content = async (path: string) => (await run('cat', [path])).stdout

describe('startFuseSession()', { skip }, () => {
  test('aborts the operation of a caller who was interrupted, who gets EINTR', async () => {
    await withScope(async (scope) => {
      const stage = await mountStage(scope)
      const begun = Promise.withResolvers<Caller>()
      stage.onOpen = (caller) => {
        begun.resolve(caller)
        return new Promise((_, reject) => {
          caller.signal.addEventListener('abort', () => reject(caller.signal.reason as Error))
        })
      }
      const cat = start('cat', [stage.path], { stdio: 'pipe' })
      const caller = await begun.promise
      assert.equal(caller.pid, cat.process.pid)
      cat.process.kill('SIGINT')
      assert.equal((await cat.exited).exitCode, 130)
      await waitFor('the signal', () => Promise.resolve(caller.signal.aborted), {
        ...{ deadlineMs: 5000, signal: scope.signal },
      })
    })
  })

  test('lets the kernel keep what it has read until it is told to drop it', async () => {
    await withScope(async (scope) => {
      const stage = await mountStage(scope)
      assert.equal(await content(stage.path), 'one')
      stage.content = Buffer.from('two')
      assert.equal(await content(stage.path), 'one')
      const changed = { nodeId: FILE_NODE, offset: 0, lengthBytes: 0 }
      assert.equal(await stage.session.notify({ type: 'invalidate-inode', ...changed }), true)
      assert.equal(await content(stage.path), 'two')
    })
  })

  test('says that the kernel had nothing to drop', async () => {
    await withScope(async (scope) => {
      const stage = await mountStage(scope)
      const name = Buffer.from('unseen')
      const notification = { type: 'invalidate-entry', parent: 1, name, expireOnly: false } as const
      assert.equal(await stage.session.notify(notification), false)
    })
  })

  test('fails a call with EIO when the file system is at fault, and goes on', async () => {
    await withScope(async (scope) => {
      const stage = await mountStage(scope)
      stage.onOpen = () => Promise.reject(new TypeError('a fault of the test'))
      const failed = await run('cat', [stage.path], { okExitCodes: [1] })
      assert.match(failed.stderr, /Input\/output error/)
      assert.match(String(stage.faults[0]), /a fault of the test/)
      stage.onOpen = undefined
      assert.equal(await content(stage.path), 'one')
    })
  })

  test('ends when the file system is unmounted', async () => {
    await withScope(async (scope) => {
      const stage = await mountStage(scope)
      await unmount(join(scope.directory, 'mounted'))
      await stage.session.ended
    })
  })
})
