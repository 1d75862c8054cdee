// A golden client that is a machine: booted by UEFI from a disk with a GPT, an EFI system partition, swap and an ext4
// root, with a kernel, systemd and ssh server of its own. Its partitions lack what a BIOS needs: that is for a
// deployment to add.
import { randomUUID } from 'node:crypto'
import { appendFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { writeNastyContent } from './golden-content.ts'
import { goldenSystem } from './golden-system.ts'
import { createLoopDisk, mountDevice, showPartitions, type LoopDisk } from './loop-disk.ts'
import { type VirtualHost } from './network.ts'
import { type Scope } from './scope.ts'
import { giveAccess, type SshAccess } from './ssh-access.ts'

export interface GoldenMachineDisk {
  /** Raw disk image. */
  readonly file: string
  readonly sizeBytes: number
  readonly access: SshAccess
}

const MIB = 2 ** 20
const DISK_BYTES = 1500 * MIB
/** sfdisk(8) script. */
const PARTITIONS = `label: gpt
size=64MiB, type=uefi, name="EFI system"
size=64MiB, type=swap, name="swap"
type=linux, name="root"
`
/** What GRUB's core for UEFI must have to read its menu and start a kernel from the root. */
const EFI_MODULES = ['part_gpt', 'ext2', 'search_fs_uuid', 'normal', 'linux', 'serial', 'echo']

/** Makes the disk of a golden client. Seconds when the system's tarball is cached. */
export async function makeGoldenDisk(
  scope: Scope,
  options: { readonly host: VirtualHost; readonly say: (text: string) => void },
): Promise<GoldenMachineDisk> {
  const { host, say } = options
  const tarball = await goldenSystem(scope, say)
  const disk = await createLoopDisk(scope, { name: host.name, sizeBytes: DISK_BYTES })
  const tree = join(scope.directory, host.name)
  const uuids = { root: randomUUID(), swap: randomUUID(), esp: 'E0F1-D2C3' }
  await makeFileSystems(scope, disk, uuids)
  await mountDevice(scope, { device: disk.partition(3), at: tree })
  const unpack = ['--extract', '--file', tarball, '--numeric-owner', '--xattrs', '--acls']
  await run('tar', [...unpack, '--xattrs-include=*', '--directory', tree], { signal: scope.signal })
  await writeNastyContent(scope, join(tree, 'opt/nasty'))
  await configure(host, tree, uuids)
  const access = await giveAccess(scope, host, tree)
  await installLoader(scope, disk, { tree, rootUuid: uuids.root })
  await run('umount', [tree])
  await run('partx', ['--delete', disk.device])
  await run('losetup', ['--detach', disk.device])
  return { file: disk.file, sizeBytes: DISK_BYTES, access }
}

interface Uuids {
  readonly root: string
  readonly swap: string
  readonly esp: string
}

async function makeFileSystems(scope: Scope, disk: LoopDisk, uuids: Uuids): Promise<void> {
  const { signal } = scope
  await run('sfdisk', ['--quiet', disk.device], { input: PARTITIONS, signal })
  await showPartitions(disk)
  const espId = uuids.esp.replace('-', '')
  await run('mkfs.vfat', ['-n', 'EFI', '-i', espId, disk.partition(1)], { signal })
  await run('mkswap', ['-L', 'swap', '-U', uuids.swap, disk.partition(2)], { signal })
  await run('mkfs.ext4', ['-q', '-L', 'root', '-U', uuids.root, disk.partition(3)], { signal })
}

/** Names the machine, its file systems and its address, and makes the menu of its boot loader. */
async function configure(host: VirtualHost, tree: string, uuids: Uuids): Promise<void> {
  const fstab = [
    `UUID=${uuids.root} / ext4 errors=remount-ro 0 1\n`,
    `UUID=${uuids.esp} /boot/efi vfat umask=0077 0 1\n`,
    `UUID=${uuids.swap} none swap sw 0 0\n`,
  ]
  await writeFile(join(tree, 'etc/fstab'), fstab.join(''))
  await mkdir(join(tree, 'boot/efi'))
  await writeFile(join(tree, 'etc/hostname'), `${host.name}\n`)
  await appendFile(join(tree, 'etc/hosts'), `127.0.0.1 localhost ${host.name}\n`)
  const network = `[Match]\nName=e*\n\n[Network]\nAddress=${host.address}/24\n`
  await writeFile(join(tree, 'etc/systemd/network/10-cable.network'), network)
  const kernel = (await readdir(join(tree, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
  const version = kernel?.replace('vmlinuz-', '') ?? ''
  const parameters = `root=UUID=${uuids.root} ro console=ttyS0 mitigations=off no_timer_check`
  const menu = [
    'serial --unit=0 --speed=115200\nterminal_output serial\nset timeout=0\n',
    `search --no-floppy --fs-uuid --set=root ${uuids.root}\n`,
    `menuentry 'Debian' {\n  linux /boot/vmlinuz-${version} ${parameters}\n`,
    `  initrd /boot/initrd.img-${version}\n}\n`,
  ]
  await mkdir(join(tree, 'boot/grub'), { recursive: true })
  await writeFile(join(tree, 'boot/grub/grub.cfg'), menu.join(''))
}

/** By mtools: this machine's kernel may not know vfat. At the path for removable media. */
async function installLoader(
  scope: Scope,
  disk: LoopDisk,
  system: { readonly tree: string; readonly rootUuid: string },
): Promise<void> {
  const { signal } = scope
  const first = join(scope.directory, 'grub-first.cfg')
  const loader = join(scope.directory, 'BOOTX64.EFI')
  const search = `search.fs_uuid ${system.rootUuid} root\nset prefix=($root)/boot/grub\n`
  await writeFile(first, search)
  const modules = join(system.tree, 'usr/lib/grub/x86_64-efi')
  const options = ['-d', modules, '-O', 'x86_64-efi', '-o', loader, '-p', '/boot/grub', '-c', first]
  await run('grub-mkimage', [...options, ...EFI_MODULES], { signal })
  const esp = ['-i', disk.partition(1)]
  await run('mmd', [...esp, '::/EFI', '::/EFI/BOOT'], { signal })
  await run('mcopy', [...esp, loader, '::/EFI/BOOT/BOOTX64.EFI'], { signal })
}
