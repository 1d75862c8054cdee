// GRUB of the image server, which makes media bootable: for BIOS and for UEFI on x86-64. Without the modules of one of them
// its tools make a medium for the other alone and say nothing, so they are looked for first.
import { join } from 'node:path'
import { exists, SiError } from '../core/core.ts'

/** Where Debian's packages grub-pc-bin and grub-efi-amd64-bin put them. */
const MODULES = '/usr/lib/grub'
export const BIOS_MODULES = join(MODULES, 'i386-pc')
export const UEFI_MODULES = join(MODULES, 'x86_64-efi')

const REMEDY =
  'Install it: apt-get install grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools dosfstools'

/** Throws ERR_SI_PROGRAM_MISSING, ERR_SI_USAGE. */
export async function checkGrub(): Promise<void> {
  if (process.arch !== 'x64') {
    throw new SiError('ERR_SI_USAGE', `Media cannot be made for ${process.arch}, only for x86_64`, {
      hint: 'Boot these machines from the network',
    })
  }
  for (const directory of [BIOS_MODULES, UEFI_MODULES]) {
    if (await exists(join(directory, 'moddep.lst'))) continue
    throw new SiError('ERR_SI_PROGRAM_MISSING', `GRUB is not installed: no ${directory}`, {
      hint: REMEDY,
    })
  }
}
