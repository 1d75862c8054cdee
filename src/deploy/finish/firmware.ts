// For which firmware the target is made bootable; pure. Whatever cannot be is refused here, before the disk is erased.
import { SiError } from '../../core/core.ts'
import type { ImageFeatures } from './image-features.ts'

export type Firmware = 'bios' | 'uefi' | 'both' | 'none'

/** `auto`: that of the machine which deploys. */
export type FirmwareChoice = Firmware | 'auto'

export const FIRMWARE_CHOICES: readonly FirmwareChoice[] = ['auto', 'bios', 'uefi', 'both', 'none']

export interface FirmwareFacts {
  readonly choice: FirmwareChoice
  /** What this machine was booted by. */
  readonly machine: 'bios' | 'uefi'
  readonly imageName: string
  readonly features: ImageFeatures
}

/** `none` as well where the image has no boot loader at all. Throws ERR_SI_TARGET_UNSUITABLE. */
export function chooseFirmware(facts: FirmwareFacts): Firmware {
  const { choice, machine, features } = facts
  const isExplicit = choice !== 'auto'
  if (choice === 'none' || !features.isSystem || (features.grub === null && !isExplicit)) {
    return 'none'
  }
  const firmware = isExplicit ? choice : machine
  const wants = (one: 'bios' | 'uefi') => firmware === one || firmware === 'both'
  const { forBios, efiTarget } = features.grub ?? { forBios: false, efiTarget: null }
  const has = { bios: forBios, uefi: efiTarget !== null }
  for (const one of ['bios', 'uefi'] as const) {
    if (!wants(one) || has[one]) continue
    const why = isExplicit ? `--firmware ${choice}` : `this machine boots by ${WORDS[one]}`
    const other = one === 'bios' ? 'uefi' : 'bios'
    const elsewhere = isExplicit || !has[other] ? '' : `, boot this machine by ${WORDS[other]}`
    throw new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      `Cannot deploy image "${facts.imageName}": ${why}, but the image has no GRUB for ${WORDS[one]}`,
      {
        hint: `Install ${PACKAGES[one]} on the golden client and capture it again${elsewhere}, or add --firmware none`,
      },
    )
  }
  return firmware
}

const WORDS = { bios: 'BIOS', uefi: 'UEFI' }
const PACKAGES = { bios: 'grub-pc-bin', uefi: 'grub-efi-amd64-bin' }
