// An image of a Debian with kernel and GRUB, made of the system that tests in guests run in. Its disk has nothing but a
// root: what the firmware needs beside it is for the deployment to add.
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import type { DiskLayout, LayoutPartition } from '../../src/image/image.ts'
import { makeSampleImage, type SampleImage } from './deploy-sample.ts'
import { guestSystem } from '../lab/guest-system.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { type Scope } from '../lab/scope.ts'

const MIB = 2 ** 20
export const ROOT_UUID = '55555555-aaaa-4bbb-8ccc-555555555555'

/** Everything on the serial console, which is what a test can read. */
const GRUB_DEFAULTS = `GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX="console=ttyS0 mitigations=off no_timer_check"
GRUB_TERMINAL=serial
`

const ROOT: LayoutPartition = {
  ...{ number: 1, startBytes: MIB, sizeBytes: 2000 * MIB },
  ...{ typeCode: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', name: '', uuid: '' },
  ...{ attributes: '', bootable: false },
  fileSystem: {
    ...{ type: 'ext4', uuid: ROOT_UUID, label: 'root', mountPoint: '/' },
    ...{ mountOptions: 'errors=remount-ro', usedBytes: 800 * MIB },
  },
}

/** A GPT with nothing but a root. */
export const bootableLayout: DiskLayout = {
  disks: [
    {
      ...{ name: 'sda', sizeBytes: 2048 * MIB, sectorBytes: 512, label: 'gpt' },
      partitions: [ROOT],
    },
  ],
}

const NETWORKD = 'systemd-networkd.service'

/** Takes a minute, and more where the guest's system is not there yet. */
export async function bootableImage(scope: Scope): Promise<SampleImage> {
  const tree = await bootableTree(scope)
  const directory = join(scope.directory, 'image')
  return makeSampleImage({ tree, directory, layout: bootableLayout, pieceLengthBytes: MIB })
}

/** The tree that the image is made of, mounted until the scope ends. */
export async function bootableTree(scope: Scope): Promise<string> {
  const { disk } = await guestSystem(scope, () => {})
  const copy = join(scope.directory, 'golden.disk')
  await run('cp', ['--sparse=always', disk, copy], { signal: scope.signal })
  const tree = join(scope.directory, 'golden')
  await mountDevice(scope, { device: copy, at: tree, options: ['loop'] })
  await mkdir(join(tree, 'etc/default'), { recursive: true })
  await writeFile(join(tree, 'etc/default/grub'), GRUB_DEFAULTS)
  await writeFile(join(tree, 'etc/fstab'), `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n`)
  const wants = join(tree, 'etc/systemd/system/multi-user.target.wants')
  await mkdir(wants, { recursive: true })
  await symlink('/lib/systemd/system/systemd-networkd.service', join(wants, NETWORKD))
  return tree
}
