// GRUB of the image on the target's disks. Invariant: every disk that carries /boot can boot by itself, so a RAID with a
// dead member does; UEFI firmware that forgot its entries finds \EFI\BOOT (UEFI specification 2.10 §3.5.1.1).
import { SiError } from '../../core/core.ts'
import { readFirmware } from '../../host/host.ts'
import type { MadeDisk, MadeEfiPartition, MadeStorage } from '../made-storage.ts'
import { carrierDisks, fileSystemOf } from './carrier-disks.ts'
import { registerEfiEntries, type EfiLoader } from './efi-boot-order.ts'
import type { Firmware } from './firmware.ts'
import { tellGrubPackage } from './grub-package.ts'
import type { GrubFeatures } from './image-features.ts'
import type { TargetSystem } from './target-system.ts'
import type { TargetTree } from './target-tree.ts'

export interface BootLoaderOptions {
  readonly tree: TargetTree
  readonly system: TargetSystem
  readonly storage: MadeStorage
  readonly firmware: Exclude<Firmware, 'none'>
  readonly grub: GrubFeatures
}

/** Notes about what could not be done although the target will boot. Throws ERR_SI_TARGET_UNSUITABLE. */
export async function installBootLoader(options: BootLoaderOptions): Promise<readonly string[]> {
  const { tree, system, storage, firmware, grub } = options
  const folder = grub.install === 'grub-install' ? 'boot/grub' : 'boot/grub2'
  await tree.remove(`${folder}/device.map`) // it names the golden client's disks
  const disks = carrierDisks(storage, fileSystemOf(storage, `/${folder}`).device)
  const notes: string[] = []
  if (firmware !== 'uefi') {
    for (const disk of disks) await installForBios(disk, options)
    const devices = disks.map(({ device }) => device)
    notes.push(...(await tellGrubPackage(devices, { tree, system })))
  }
  if (firmware !== 'bios' && grub.efiTarget !== null) {
    const loaders = await installForUefi(disks, options, grub.efiTarget)
    notes.push(...namePoorDisks(disks, storage))
    const programs = { system, tree }
    if (readFirmware() === 'uefi') notes.push(...(await registerEfiEntries(loaders, programs)))
    else notes.push('this machine was not booted by UEFI: no boot entry is made, \\EFI\\BOOT is')
  }
  const [program, ...args] = grub.configure
  await system.run(program, args)
  return notes
}

/** Disks of a RAID from which UEFI could not start, should the others die. */
function namePoorDisks(disks: readonly MadeDisk[], { arrays }: MadeStorage): readonly string[] {
  const isMirrored = arrays.some(({ level }) => level !== 'raid0')
  const poor = disks.filter(({ efiPartitions }) => efiPartitions.length === 0)
  return (isMirrored ? poor : []).map(
    ({ device }) => `${device} has no EFI system partition: UEFI cannot boot by it alone`,
  )
}

async function installForBios(disk: MadeDisk, { system, grub }: BootLoaderOptions): Promise<void> {
  if (disk.label === 'gpt' && !disk.hasBiosBootPartition) {
    throw new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      `Cannot install GRUB for BIOS on ${disk.device}: its GPT has no BIOS boot partition`,
      { hint: 'Add one of 1 MiB to the layout, or deploy with --firmware uefi' },
    )
  }
  await system.run(grub.install, ['--target=i386-pc', '--no-floppy', disk.device])
}

/** GRUB on every EFI system partition, under the image's name and as the fallback of removable media. */
async function installForUefi(
  disks: readonly MadeDisk[],
  options: BootLoaderOptions,
  target: string,
): Promise<readonly EfiLoader[]> {
  const label = await bootLoaderId(options.tree)
  const partitions = disks.flatMap((disk) =>
    disk.efiPartitions.map((efi) => ({ disk: disk.device, efi })),
  )
  if (partitions.length === 0) {
    throw new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      'Cannot install GRUB for UEFI: no disk that carries /boot has an EFI system partition',
      { hint: 'Add one to the layout, or deploy with --firmware bios' },
    )
  }
  /** By device: several partitions may be one RAID 1. */
  const files = new Map<string, string>()
  const loaders: EfiLoader[] = []
  for (const { disk, efi } of partitions) {
    const file = files.get(efi.device) ?? (await fillEfi(efi, { ...options, label, target }))
    files.set(efi.device, file)
    loaders.push({ label, disk, partition: efi.partition, file })
  }
  return loaders
}

/** Name of the file in \EFI\LABEL that the firmware is to start. */
async function fillEfi(
  { device, mountedAt }: MadeEfiPartition,
  options: BootLoaderOptions & { readonly label: string; readonly target: string },
): Promise<string> {
  const { system, grub, label, target } = options
  const directory = mountedAt ?? '/run/efi-system-partition'
  const mounts = mountedAt === null ? [{ device, at: directory }] : []
  const how = [`--target=${target}`, `--efi-directory=${directory}`, '--no-nvram']
  // Fedora's refuses otherwise, as it would replace a signed GRUB.
  const force = grub.install === 'grub2-install' ? ['--force'] : []
  for (const place of [`--bootloader-id=${label}`, '--removable']) {
    await system.run(grub.install, [...how, ...force, place], { mounts })
  }
  const { stdout } = await system.run('ls', [`${directory}/EFI/${label}`], { mounts })
  return chooseLoader(stdout.split('\n'))
}

/** shim where there is one: it starts GRUB under Secure Boot and elsewhere. */
function chooseLoader(files: readonly string[]): string {
  return files.find((file) => /^shim\w+\.efi$/.test(file)) ?? findGrubFile(files)
}

function findGrubFile(files: readonly string[]): string {
  const file = files.find((file) => /^grub\w+\.efi$/.test(file))
  if (file !== undefined) return file
  throw new SiError('ERR_SI_DEPLOY', 'Cannot find what grub-install wrote for UEFI', {
    hint: 'Look whether the image has GRUB for UEFI, or deploy with --firmware none',
  })
}

/** The folder that signed GRUBs look into: the distribution's ID, but for one. */
async function bootLoaderId(tree: TargetTree): Promise<string> {
  const id = /^ID="?([a-z0-9._-]+)"?$/m.exec((await tree.read('etc/os-release')) ?? '')?.[1]
  return id === 'rhel' ? 'redhat' : (id ?? 'linux')
}
