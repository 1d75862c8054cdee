// What a file system without extended attributes makes of an image: each kind of loss is said once.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { countLoss, createLossCounters, describeLosses } from '../../src/deploy/attribute-loss.ts'
import { EntryTableBuilder } from '../../src/deploy/entry-table-builder.ts'
import { createDirectories, finishDirectories, finishObjects } from '../../src/deploy/tree.ts'
import type { ManifestEntry } from '../../src/image/image.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { withScope } from '../lab/scope.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'

/** user::rw-, user:7:r--, group::---, mask::r--, other::--- */
const ACL = Buffer.from(
  '02000000' +
    '01000600ffffffff' +
    '0200040007000000' +
    '04000000ffffffff' +
    '10000400ffffffff' +
    '20000000ffffffff',
  'hex',
)

function entry(type: ManifestEntry['type'], path: string, names: readonly string[]): ManifestEntry {
  return {
    ...{ type, path: Buffer.from(path), mode: 0o4751, uid: 1, gid: 2, mtimeNs: -5n },
    ...{ sizeBytes: 0, dataOffset: 0, dataBytes: 0, linkTarget: null, sparse: null },
    ...{ deviceMajor: 0, deviceMinor: 0 },
    xattrs: names.map((name) => ({ name, value: ACL })),
  }
}

test(
  'attributes that a file system cannot hold are counted, all else is kept',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const at = join(scope.directory, 'plain')
      await mountDevice(scope, { device: 'none', at, type: 'ramfs' })
      const builder = new EntryTableBuilder()
      const acl = 'system.posix_acl_access'
      builder.add(entry('directory', 'd', [acl, 'user.a', 'trusted.b']))
      builder.add(entry('file', 'd/f', [acl, 'user.a', 'user.\xff', 'nonsense.x']))
      const table = builder.build()
      const losses = createLossCounters()
      const options = {
        ...{ root: Buffer.from(at), table, isFinished: new Uint8Array(table.count) },
        noteLoss: (loss: string) => countLoss(losses, loss),
      }
      createDirectories(options.root, table)
      finishObjects(options)
      finishDirectories(options)
      assert.deepEqual(describeLosses(losses), [
        "the target's file system cannot keep attributes system.posix_acl_* (2 files)",
        "the target's file system cannot keep attributes trusted.* (1 file)",
        "the target's file system cannot keep attributes user.* (3 files)",
        "the target's file system cannot keep attributes of other kinds (1 file)",
      ])
      const { mode, uid, gid, mtimeMs } = statSync(join(at, 'd/f'))
      assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs < 0], [0o4751, 1, 2, true])
    })
  },
)
