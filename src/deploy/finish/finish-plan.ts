// What the finishing will do, told before anything is written: from the image's list of files and what was asked for; pure.
import { entryPath, type EntryTable } from '../entry-table.ts'
import { chooseFirmware, type Firmware, type FirmwareChoice } from './firmware.ts'
import {
  FEATURE_PATHS,
  findFeatures,
  NO_NETWORK_PROGRAM,
  type ImageFeatures,
} from './image-features.ts'
import type { NetworkConfiguration } from './network-configuration.ts'
import type { Script } from '../scripts/script.ts'
import { SiError } from '../../core/core.ts'

/** When the target's initramfs is made anew. */
export const INITRAMFS_CHOICES = ['auto', 'always', 'never'] as const
export type InitramfsChoice = (typeof INITRAMFS_CHOICES)[number]

/** What people may choose. */
export interface FinishChoices {
  readonly firmware: FirmwareChoice
  readonly initramfs: InitramfsChoice
  readonly hostName: string | null
  /** Null: that of the golden client. */
  readonly network: NetworkConfiguration | null
}

export const PLAIN_FINISH: FinishChoices = {
  ...{ firmware: 'auto', initramfs: 'auto' },
  ...{ hostName: null, network: null },
}

export interface FinishPlan {
  readonly firmware: Firmware
  /** For people, in order. */
  readonly steps: readonly string[]
}

export interface FinishFacts {
  readonly choices: FinishChoices
  readonly imageName: string
  readonly table: EntryTable
  readonly target: 'disk' | 'root'
  /** Firmware of this machine. */
  readonly machine: 'bios' | 'uefi'
  /** Scripts that are to run in the finished system. */
  readonly scripts: readonly Script[]
}

/** Throws ERR_SI_TARGET_UNSUITABLE when the image cannot boot by the firmware that is wanted, or run scripts. */
export function planFinish(facts: FinishFacts): FinishPlan {
  const { choices, imageName, machine } = facts
  const features = featuresOf(facts.table)
  const identity = describeIdentity(choices, features)
  const scripts = facts.scripts.map(({ name }) => `script ${name}`)
  if (scripts.length > 0 && !features.isSystem) throw noSystem(imageName)
  if (facts.target === 'root') return { firmware: 'none', steps: [...identity, ...scripts] }
  if (!features.isSystem) return { firmware: 'none', steps: [] }
  const firmware = chooseFirmware({ choice: choices.firmware, machine, imageName, features })
  const initramfs = INITRAMFS_WORDS[choices.initramfs]
  const steps = [
    'fstab: disks by UUID',
    ...identity,
    ...(choices.network === null && !features.hasNetwork
      ? [`network: none, as the image ${NO_NETWORK_PROGRAM}`]
      : []),
    features.hasSshServer ? 'new machine id and ssh host keys' : 'new machine id',
    ...(features.initramfsMaker === null ? [] : [`initramfs: ${initramfs}`]),
    `boot loader: ${describeBootLoader(firmware, features)}`,
    ...scripts,
  ]
  return { firmware, steps }
}

function noSystem(imageName: string): SiError {
  const message = `Cannot run post-install scripts in image "${imageName}": it has no /etc, so it is no system`
  return new SiError('ERR_SI_TARGET_UNSUITABLE', message, {
    hint: 'Leave them out, and work on the tree when it is deployed',
  })
}

/** Which of FEATURE_PATHS the image has; symlinked folders, such as /sbin, are looked up under both names. */
function featuresOf(table: EntryTable): ImageFeatures {
  const wanted = new Set(FEATURE_PATHS)
  const found = new Set<string>()
  for (let entry = 0; entry < table.count; entry++) {
    const path = entryPath(table, entry).toString('latin1')
    if (wanted.has(path)) found.add(path)
  }
  return findFeatures((path) => found.has(path))
}

function describeIdentity(choices: FinishChoices, features: ImageFeatures): readonly string[] {
  const { hostName, network } = choices
  const interfaces = network?.interfaces ?? []
  const cards = interfaces.map(({ name, mac, addresses }) => {
    const address = addresses === 'dhcp' ? 'DHCP' : addresses.join(', ')
    return `${name ?? mac ?? ''} ${address}`
  })
  return [
    ...(hostName === null ? [] : [`host name: ${hostName}`]),
    ...(network === null
      ? []
      : [`network by ${features.network ?? 'nothing that the image has'}: ${cards.join('; ')}`]),
  ]
}

const INITRAMFS_WORDS: Readonly<Record<InitramfsChoice, string>> = {
  auto: 'made anew if the storage differs from that of the golden client',
  always: 'made anew',
  never: 'that of the golden client',
}

function describeBootLoader(firmware: Firmware, { grub }: ImageFeatures): string {
  if (grub === null) return 'none, as the image has none'
  const words = { bios: 'BIOS', uefi: 'UEFI', both: 'BIOS and UEFI' }
  return firmware === 'none' ? 'none, as asked for' : `GRUB for ${words[firmware]}`
}
