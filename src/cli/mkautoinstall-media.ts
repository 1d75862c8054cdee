// The media that si-mkautoinstall is to make, and consent where one is a device. Invariant: nothing is made, and no time spent,
// before everything that may be refused has been asked.
import { SiError } from '../core/core.ts'
import type { UsbStick } from '../netboot/netboot.ts'
import type { Io } from './io.ts'

export interface MediaFlags {
  readonly iso?: string
  readonly usb?: string
  readonly confirm?: string
}

export interface ChosenMedium {
  readonly kind: 'iso' | 'usb'
  readonly output: string
  readonly stick: UsbStick | undefined
}

/** Throws ERR_SI_USAGE, ERR_SI_NOT_CONFIRMED, ERR_SI_TARGET_UNSUITABLE. */
export async function chooseMedia(flags: MediaFlags, io: Io): Promise<readonly ChosenMedium[]> {
  const { iso, usb, confirm } = flags
  if (iso === undefined && usb === undefined) return []
  const { checkGrub, inspectStick } = await import('../netboot/netboot.ts')
  await checkGrub()
  const media: ChosenMedium[] = []
  if (iso !== undefined) {
    if ((await inspectStick(iso)) !== undefined) {
      throw new SiError('ERR_SI_USAGE', `--iso wants a file, and ${iso} is a device`, {
        hint: `Write to it with --usb ${iso}`,
      })
    }
    media.push({ kind: 'iso', output: iso, stick: undefined })
  }
  if (usb === undefined) return media
  const stick = await inspectStick(usb)
  if (confirm !== undefined && confirm !== usb) {
    throw new SiError('ERR_SI_NOT_CONFIRMED', `--confirm names ${confirm}, but --usb ${usb}`)
  }
  if (stick !== undefined && confirm === undefined) await askForConsent(usb, stick, io)
  return [...media, { kind: 'usb', output: usb, stick }]
}

/** As si-deploy: the name of what is erased, from --confirm or typed. */
async function askForConsent(path: string, { description }: UsbStick, io: Io): Promise<void> {
  io.stderr.write(`${path} will be erased. It has ${description}\n`)
  const answer = await io.ask?.(`Type ${path} to erase it: `, io.signal)
  if (answer?.trim() === path) return
  throw new SiError('ERR_SI_NOT_CONFIRMED', `Nothing was written to ${path}: not confirmed`, {
    hint: `Add --confirm ${path} to erase it`,
  })
}
