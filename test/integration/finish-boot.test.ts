// The proof of a deployment: a virtual machine boots the deployed disk by itself, through BIOS and GRUB, up to the
// prompt that has the name which was asked for; and its packages know which disk that was. Needs root.
import assert from 'node:assert/strict'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy, PLAIN_FINISH } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import { bootableLayout, ROOT_UUID } from './bootable-image.ts'
import { bootableSystem } from '../lab/bootable-system.ts'
import { attachLoop, mountDevice, showPartitions } from '../lab/loop-disk.ts'
import { startMachine } from '../lab/qemu-machine.ts'
import { withScope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
const BOOT_DEADLINE_MS = 8 * 60_000

test('a disk deployed for BIOS boots by itself, under its own name', { skip }, async () => {
  await withScope(async (scope) => {
    const tree = await bootableSystem(scope)
    await writeFile(join(tree, 'etc/fstab'), `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n`)
    const image = await makeSampleImage({
      ...{ tree, directory: join(scope.directory, 'image') },
      ...{ layout: bootableLayout, pieceLengthBytes: MIB },
    })
    const seeder = await seedSample(image)
    scope.defer('seeder', () => seeder.close())
    const file = join(scope.directory, 'target.disk')
    await writeFile(file, '')
    await truncate(file, 3000 * MIB)
    const disk = await attachLoop(scope, file, 3000 * MIB)
    const finish = {
      ...{ ...PLAIN_FINISH, firmware: 'bios' as const, initramfs: 'always' as const },
      hostName: 'node07.lab',
    }
    const target = { type: 'disk' as const, devices: [disk.device] }
    const io = { progress: silentProgress, confirm: () => Promise.resolve() }
    const options = deployOptions(image, target, { peers: [seeder.address], finish })
    const report = await deploy(options, io, scope.signal)
    assert.deepEqual([report.leftOut, report.notes], [[], []])
    const name = 'node07'
    const disks = [{ file, bus: 'virtio', serial: 'target' } as const]
    const machine = await startMachine(scope, { name, disks })
    await machine.console.waitFor(/node07 login:/, BOOT_DEADLINE_MS)
    assert.match(await machine.console.text(), new RegExp(`root=UUID=${ROOT_UUID}`))
    await machine.cutPower()
    const at = join(scope.directory, 'deployed')
    await showPartitions(disk)
    await mountDevice(scope, { device: disk.partition(1), at })
    const { stdout } = await run('chroot', [at, 'debconf-show', 'grub-pc'])
    assert.match(stdout, new RegExp(`^\\* grub-pc/install_devices: ${disk.device}$`, 'm'))
  })
})
