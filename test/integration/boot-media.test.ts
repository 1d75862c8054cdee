// Media for machines that do not boot from the network. Two machines start from them on a network without DHCP, one by
// UEFI from a CD, one by BIOS from a USB stick, and get as far as the server's word that they are to boot locally. Needs root.
import assert from 'node:assert/strict'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { inspectStick, makeMedium } from '../../src/netboot/netboot.ts'
import { createLoopDisk, mountDevice } from '../lab/loop-disk.ts'
import { createNetwork } from '../lab/network.ts'
import { startMachine, type MachineMedium, type MachineOptions } from '../lab/qemu-machine.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { prepareSite, serveSite } from './network-site.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
const BOOT_DEADLINE_MS = 5 * 60_000
/** Where the partition of a stick begins, in the words of mtools. */
const stickFiles = (image: string) => ['-i', `${image}@@${MIB}`]

test(
  'a machine without DHCP starts from a medium and asks the server what to do',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const below = (name: string) => join(scope.directory, name)
      const virtualHosts = ['node07', 'node08']
      const network = await createNetwork(scope, { hosts: ['server'], virtualHosts })
      const nodes = virtualHosts.map((name) => network.virtual(name))
      const media = ['--iso', below('golden.iso'), '--usb', below('golden.img')]
      const site = {
        directory: scope.directory,
        network,
        nodes,
        boot: 'local',
        dhcp: 'none',
      } as const
      await prepareSite(scope, { ...site, parameters: 'si.ip=10.77.0.101/24', media })
      await writeFile(below('parameters.cfg'), 'set parameters="si.ip=10.77.0.102/24 si.rack=r1"\n')
      await run('mcopy', [...stickFiles(below('golden.img')), '-o', below('parameters.cfg'), '::/'])
      await serveSite(scope, site)
      const cd: MachineMedium = { kind: 'cd', file: below('golden.iso') }
      const stick: MachineMedium = { kind: 'usb-stick', file: below('golden.img') }
      const machines = [
        await startFrom(scope, {
          medium: cd,
          firmware: 'uefi',
          network: network.virtual('node07'),
        }),
        await startFrom(scope, {
          medium: stick,
          firmware: 'bios',
          network: network.virtual('node08'),
        }),
      ]
      for (const [index, machine] of machines.entries()) {
        const { name, address } = nodes[index] ?? {}
        const configured = new RegExp(`has ${address}/24, as the parameters say`)
        await machine.console.waitFor(configured, BOOT_DEADLINE_MS)
        const waiting = new RegExp(`says that ${name} starts its own disk: take the medium out`)
        await machine.console.waitFor(waiting, BOOT_DEADLINE_MS)
        await machine.cutPower()
      }
    })
  },
)

async function startFrom(
  scope: Scope,
  options: Required<Pick<MachineOptions, 'medium' | 'firmware' | 'network'>>,
) {
  const name = options.network.name
  const file = join(scope.directory, `${name}.disk`)
  await writeFile(file, '')
  await truncate(file, 1000 * MIB)
  const disks = [{ file, bus: 'virtio', serial: 'target' } as const]
  return startMachine(scope, { name, memoryMiB: 2048, disks, ...options })
}

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
