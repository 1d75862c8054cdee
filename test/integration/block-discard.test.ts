// Which devices say that they can forget blocks: makers of file systems then spare themselves the zeros. Needs root.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { test } from 'node:test'
import { canDiscard, run } from '../../src/host/host.ts'
import { createLoopDisk, showPartitions } from '../lab/loop-disk.ts'
import { withScope } from '../lab/scope.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'

test('canDiscard() asks the disk, for a partition too', { skip }, async () => {
  await withScope(async (scope) => {
    const disk = await createLoopDisk(scope, { name: 'disk', sizeBytes: 16 * 2 ** 20 })
    await run('sfdisk', ['--quiet', disk.device], { input: 'label: gpt\nstart=2048\n' })
    await showPartitions(disk)
    assert.equal(await canDiscard(disk.device), true)
    assert.equal(await canDiscard(disk.partition(1)), true)
    const limit = `/sys/block/${basename(disk.device)}/queue/discard_max_bytes`
    const before = await readFile(limit, 'utf8')
    scope.defer('discard', () => writeFile(limit, before)) // the device is lent to others later
    await writeFile(limit, '0')
    assert.equal(await canDiscard(disk.device), false)
    assert.equal(await canDiscard(disk.partition(1)), false)
  })
})
