// USB sticks as devices: what is written to them, and what is refused. Needs root.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { inspectStick, makeMedium } from '../../src/netboot/netboot.ts'
import { createLoopDisk, mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
/** Where the partition of a stick begins, in the words of mtools. */
const stickFiles = (image: string) => ['-i', `${image}@@${MIB}`]

test('makeMedium() writes a stick as a device', { skip }, async () => {
  await withScope(async (scope) => {
    const disk = await createLoopDisk(scope, { name: 'stick', sizeBytes: 200 * MIB })
    await makeStick(scope, disk.device)
    const { stdout: table } = await run('sfdisk', ['--dump', disk.device])
    assert.match(table, /start= +2048, .* type=c, bootable/)
    const { stdout } = await run('mdir', [...stickFiles(disk.device), '-b', '-/', '::/'])
    for (const path of ['EFI/BOOT/BOOTX64.EFI', 'boot/vmlinuz', 'boot/initrd.img']) {
      assert.ok(stdout.includes(path), path)
    }
  })
})

test('makeMedium() leaves a stick alone that is too small', { skip }, async () => {
  await withScope(async (scope) => {
    const disk = await createLoopDisk(scope, { name: 'stick', sizeBytes: 40 * MIB })
    const small = { code: 'ERR_SI_TARGET_UNSUITABLE', message: /40\.0 MiB, .* needed/ }
    await assert.rejects(makeStick(scope, disk.device), small)
    const { stdout } = await run('blkid', ['--probe', disk.device], { okExitCodes: [0, 2] })
    assert.equal(stdout, '')
  })
})

test('inspectStick() refuses what is in use, and says what would be lost', { skip }, async () => {
  await withScope(async (scope) => {
    const disk = await createLoopDisk(scope, { name: 'stick', sizeBytes: 64 * MIB })
    await run('mkfs.ext4', ['-q', disk.device])
    assert.equal((await inspectStick(disk.device))?.description, '64.0 MiB: ext4')
    await mountDevice(scope, { device: disk.device, at: join(scope.directory, 'mounted') })
    const mounted = { code: 'ERR_SI_TARGET_UNSUITABLE', message: /it is mounted on/ }
    await assert.rejects(inspectStick(disk.device), mounted)
  })
})

test('inspectStick() refuses a name in /dev that is not there, and a folder', async () => {
  for (const path of ['/dev/no-such-stick', '/tmp', '/tmp/no-such-folder/stick.img']) {
    await assert.rejects(inspectStick(path), { code: 'ERR_SI_TARGET_UNSUITABLE' }, path)
  }
})

/** With a kernel and an initramfs of a few bytes. */
async function makeStick(scope: Scope, device: string): Promise<void> {
  const imageDirectory = join(scope.directory, 'golden')
  await mkdir(imageDirectory)
  for (const name of ['vmlinuz', 'initrd.img']) await writeFile(join(imageDirectory, name), name)
  const facts = { image: 'golden', version: '1', kernel: '6.1', madeAt: '', parameters: '' }
  const stick = await inspectStick(device)
  const content = { imageDirectory, facts, server: 'http://10.0.0.1:8080' }
  await makeMedium({ kind: 'usb', output: device, stick, ...content }, scope.signal)
}
