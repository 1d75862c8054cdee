// What the tests of this folder count on: a kernel with md, device-mapper and vfat, cgroup v2 with I/O
// limits under systemd, empty disks, and a project whose files stay as they are.
import assert from 'node:assert/strict'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../../src/host/host.ts'
import * as lab from '../lab/lab.ts'

const root = join(import.meta.dirname, '../..')

describe('the guest', () => {
  test('has a kernel with md, device-mapper, LUKS and vfat', async () => {
    await run('modprobe', ['--all', 'raid1', 'dm-mod', 'dm-crypt', 'vfat'])
    const fileSystems = await readFile('/proc/filesystems', 'utf8')
    assert.match(fileSystems, /\tvfat\n/)
    await access('/dev/mapper/control')
  })

  test('has systemd as its first process, and I/O limits of cgroup v2', async () => {
    assert.equal(await readFile('/proc/1/comm', 'utf8'), 'systemd\n')
    assert.match(await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8'), /\bio\b/)
  })

  test('has four empty disks, each with a name of its own in /dev/disk/by-id', async () => {
    for (const number of [1, 2, 3, 4]) {
      const device = `/dev/disk/by-id/virtio-empty${number}`
      const { stdout } = await run('blockdev', ['--getsize64', device])
      assert.equal(Number(stdout), 4 * 2 ** 30)
      assert.equal((await run('blkid', [device], { okExitCodes: [2] })).stdout, '')
    }
  })

  test('mounts vfat on a loop device of the lab, and leaves nothing of it', async () => {
    await lab.withScope(async (scope) => {
      const disk = await lab.createLoopDisk(scope, { name: 'esp', sizeBytes: 64 * 2 ** 20 })
      await run('mkfs.vfat', ['-n', 'EFI', disk.device])
      const at = join(scope.directory, 'esp')
      await lab.mountDevice(scope, { device: disk.device, at })
      await writeFile(join(at, 'BOOTX64.EFI'), 'a loader')
      assert.match(await readFile('/proc/mounts', 'utf8'), / vfat /)
    })
    assert.doesNotMatch(await readFile('/proc/mounts', 'utf8'), / vfat /)
  })

  test('keeps what is written into the project to itself', async () => {
    await writeFile(join(root, 'written-in-the-guest'), '')
    assert.match((await run('findmnt', ['-no', 'FSTYPE', root])).stdout, /overlay/)
  })
})
