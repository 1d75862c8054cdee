// Which devices say that they can forget blocks: makers of file systems then spare themselves the zeros. Needs root.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canDiscard, run } from '../../src/host/host.ts'
import { createLoopDisk, showPartitions } from '../lab/loop-disk.ts'
import { withScope } from '../lab/scope.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'

test('canDiscard() says what lsblk says, of disks and partitions', { skip }, async () => {
  await withScope(async (scope) => {
    const disk = await createLoopDisk(scope, { name: 'disk', sizeBytes: 16 * 2 ** 20 })
    await run('sfdisk', ['--quiet', disk.device], { input: 'label: gpt\nstart=2048\n' })
    await showPartitions(disk)
    for (const device of [disk.device, disk.partition(1)]) {
      const args = ['--nodeps', '--noheadings', '--bytes', '--output', 'DISC-MAX', device]
      const { stdout } = await run('lsblk', args)
      assert.equal(await canDiscard(device), Number(stdout) > 0, device)
    }
  })
})
