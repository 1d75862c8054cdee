// From boot files to a medium: an ISO image, or a USB stick as file or device. Invariant: a file has its name only once
// it is whole.
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { makeIso } from './iso-image.ts'
import { stageMedium, type MediumOptions } from './media.ts'
import { makeUsbImage } from './usb-image.ts'
import { writeStick, type UsbStick } from './usb-stick.ts'

export interface MakeMediumOptions extends MediumOptions {
  readonly kind: 'iso' | 'usb'
  readonly output: string
  /** The device that `output` is, with its owner's consent; undefined: it is a file. */
  readonly stick: UsbStick | undefined
}

/** Throws ERR_SI_PROGRAM_MISSING, ERR_SI_PROGRAM_FAILED, ERR_SI_TARGET_UNSUITABLE. */
export async function makeMedium(options: MakeMediumOptions, signal: AbortSignal): Promise<void> {
  const { kind, stick, imageDirectory } = options
  const output = resolve(options.output)
  // Beside the result, which is then put in place by renaming; a device has no room beside it.
  const place = stick === undefined ? dirname(output) : dirname(resolve(imageDirectory))
  const work = await mkdtemp(join(place, `.${basename(output)}-`))
  try {
    const [content, workDirectory] = [join(work, 'content'), join(work, 'grub')]
    await mkdir(content)
    await mkdir(workDirectory)
    await stageMedium(content, options)
    const draft = join(work, 'medium')
    if (kind === 'iso') await makeIso(content, draft, signal)
    else await makeUsbImage({ content, workDirectory, output: draft }, signal)
    if (stick === undefined) await rename(draft, output)
    else await writeStick(draft, stick, signal)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
