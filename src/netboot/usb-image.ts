// The image of a USB stick that boots by BIOS and UEFI: an msdos table, GRUB's first sector and core before its one partition
// (https://www.gnu.org/software/grub/manual/, "BIOS installation"), which is FAT32 with \EFI\BOOT\BOOTX64.EFI (UEFI 2.10 §3.5.1.1) and
// with local.cfg, so that any computer can edit it. Invariant: nothing is mounted and no device is touched.
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../host/host.ts'
import { BIOS_MODULES, checkGrub, UEFI_MODULES } from './grub-programs.ts'
import { MEDIUM_LABEL } from './media.ts'

const MIB = 2 ** 20
const SECTOR_BYTES = 512
/** Before it: GRUB's core. */
const PARTITION_START_BYTES = MIB
/** Of a boot sector the rest is the partition table. */
const BOOT_CODE_BYTES = 440
/** boot.img: a jump that makes it believe in floppies unless two no-operations take its place, as grub-install does. */
const DRIVE_CHECK_AT = 0x66
const NO_OPERATIONS = [0x90, 0x90]
/** What FAT32 needs at least, and what GRUB, folders and an edited file need. */
const LEAST_BYTES = 64 * MIB
const SPARE_BYTES = 16 * MIB

const BOTH = [
  'part_msdos',
  'fat',
  'normal',
  'linux',
  'echo',
  'serial',
  'terminal',
  'test',
  'configfile',
]

export interface UsbImageOptions {
  /** Folder made by stageMedium(). */
  readonly content: string
  /** Empty, for what is needed meanwhile. */
  readonly workDirectory: string
  /** Made anew. */
  readonly output: string
}

export async function makeUsbImage(options: UsbImageOptions, signal: AbortSignal): Promise<void> {
  const { content, workDirectory, output } = options
  await checkGrub()
  const sizeBytes = roundUp(Math.max(LEAST_BYTES, (await sizeOfTree(content)) + SPARE_BYTES))
  await writeFile(output, '')
  {
    await using file = await open(output, 'r+')
    await file.truncate(PARTITION_START_BYTES + sizeBytes)
  }
  await partition(output, signal)
  await makeFat(output, sizeBytes, signal)
  const loader = join(workDirectory, 'BOOTX64.EFI')
  const efi = { modules: UEFI_MODULES, format: 'x86_64-efi', prefix: '/boot/grub' }
  await makeGrub(loader, { ...efi, further: ['efi_gop', 'efi_uga', 'all_video'] }, signal)
  const fat = mtools(output, signal)
  await fat('mmd', '::/EFI', '::/EFI/BOOT')
  await fat('mcopy', loader, '::/EFI/BOOT/BOOTX64.EFI')
  for (const name of await readdir(content)) await fat('mcopy', '-s', join(content, name), '::/')
  await installBiosGrub(output, workDirectory, signal)
}

const roundUp = (bytes: number) => MIB * Math.ceil(bytes / MIB)

/** One active partition, FAT32 by address. */
async function partition(output: string, signal: AbortSignal): Promise<void> {
  const start = PARTITION_START_BYTES / SECTOR_BYTES
  const table = `label: dos\nstart=${start}, type=c, bootable\n`
  await run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', output], {
    input: table,
    signal,
  })
}

async function makeFat(output: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  const place = ['--offset', `${PARTITION_START_BYTES / SECTOR_BYTES}`]
  const args = ['-F', '32', '-n', MEDIUM_LABEL, ...place, output, `${sizeBytes / 1024}`]
  await run('mkfs.vfat', args, { signal })
}

function mtools(output: string, signal: AbortSignal) {
  const env = { MTOOLS_SKIP_CHECK: '1' }
  return (program: string, ...args: string[]) =>
    run(program, ['-i', `${output}@@${PARTITION_START_BYTES}`, ...args], { env, signal })
}

interface GrubFormat {
  readonly modules: string
  readonly format: string
  /** Where grub.cfg lies. */
  readonly prefix: string
  readonly further: readonly string[]
}

async function makeGrub(output: string, grub: GrubFormat, signal: AbortSignal): Promise<void> {
  const { modules, format, prefix, further } = grub
  const how = [`--directory=${modules}`, `--format=${format}`, `--prefix=${prefix}`]
  await run('grub-mkimage', [...how, `--output=${output}`, ...BOTH, ...further], { signal })
}

/** boot.img loads the sector behind it, and that the rest of the core: what grub-mkimage and boot.img have as default. */
async function installBiosGrub(
  output: string,
  workDirectory: string,
  signal: AbortSignal,
): Promise<void> {
  const core = join(workDirectory, 'core.img')
  // An empty disk in the prefix is the one that the BIOS booted from.
  const bios = { modules: BIOS_MODULES, format: 'i386-pc', prefix: '(,msdos1)/boot/grub' }
  await makeGrub(core, { ...bios, further: ['biosdisk'] }, signal)
  const boot = (await readFile(join(BIOS_MODULES, 'boot.img'))).subarray(0, BOOT_CODE_BYTES)
  boot.set(NO_OPERATIONS, DRIVE_CHECK_AT)
  const coreBytes = await readFile(core)
  if (SECTOR_BYTES + coreBytes.length > PARTITION_START_BYTES) {
    throw new Error(`GRUB's core has ${coreBytes.length} bytes: too many before the partition`)
  }
  await using file = await open(output, 'r+')
  await file.write(boot, 0, boot.length, 0)
  await file.write(coreBytes, 0, coreBytes.length, SECTOR_BYTES)
  await file.sync()
}

async function sizeOfTree(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true })
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(join(directory, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
