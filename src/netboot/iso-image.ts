// An ISO 9660 image that boots by BIOS and UEFI, from a CD drive (El Torito) and, written to a stick as it is, from USB: the work
// of grub-mkrescue(1).
import { run } from '../host/host.ts'
import { checkGrub } from './grub-programs.ts'
import { MEDIUM_LABEL } from './media.ts'

/** `content`: folder made by stageMedium(). */
export async function makeIso(content: string, output: string, signal: AbortSignal): Promise<void> {
  await checkGrub()
  // What a menu in text mode has no use for stays out.
  const without = ['--fonts=', '--locales=', '--themes=']
  const volume = ['--', '-volid', MEDIUM_LABEL]
  await run('grub-mkrescue', [`--output=${output}`, ...without, content, ...volume], { signal })
}
