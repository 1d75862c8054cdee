import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeStorageTables } from '../../../../src/deploy/finish/storage-tables.ts'
import { openTargetTree } from '../../../../src/deploy/finish/target-tree.ts'
import type { MadeFileSystem } from '../../../../src/deploy/made-storage.ts'

const fileSystem = (mountPoint: string | null, type: string): MadeFileSystem => ({
  ...{ device: '/dev/vda', type, uuid: 'u-u', label: '', mountPoint, mountOptions: '' },
})

test('writeStorageTables() makes the mount point that the image lacks', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'si-tables-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, 'srv'))
  await writeFile(join(root, 'srv/data'), 'of the image')
  const tree = openTargetTree(root)
  const places = [fileSystem('/', 'ext4'), fileSystem('/boot/efi', 'vfat')]
  const others = [fileSystem('/srv', 'ext4'), fileSystem(null, 'swap')]
  await writeStorageTables(tree, {
    ...{ disks: [], arrays: [], volumeGroups: [], encrypted: [] },
    fileSystems: [...places, ...others],
  })
  assert.ok(tree.isDirectory('boot/efi'))
  assert.deepEqual(await tree.list('srv'), ['data'])
})
