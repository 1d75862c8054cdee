// What machines boot from, in one folder: per image kernel and initramfs, and what answers firmware over TFTP.
//
//     DIR/IMAGE/vmlinuz, initrd.img, boot.json    made by si-mkautoinstall, served below /boot/ by si-server
//     DIR/tftp/                                   iPXE, and the script that it begins with
//     DIR/dnsmasq.conf                            DHCP or proxyDHCP, and TFTP
//     DIR/.cache/                                 what the next initramfs needs again
//
// Invariant: an image's folder is whole, or not there.
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { errnoOf } from '../core/core.ts'

export const KERNEL_FILE = 'vmlinuz'
export const INITRAMFS_FILE = 'initrd.img'
/** What may be fetched of an image's folder. */
export const BOOT_FILES: readonly string[] = [KERNEL_FILE, INITRAMFS_FILE]
const FACTS_FILE = 'boot.json'

const factsSchema = z.object({
  image: z.string(),
  version: z.string(),
  kernel: z.string(),
  /** ISO 8601. */
  madeAt: z.string(),
  /** Further kernel parameters for every machine that boots it. */
  parameters: z.string(),
})

export type BootFacts = z.infer<typeof factsSchema>

/** What an image's folder tells; undefined: there is none. */
export async function readBootFacts(
  directory: string,
  image: string,
): Promise<BootFacts | undefined> {
  const text = await readFile(join(directory, image, FACTS_FILE), 'utf8').catch(
    (error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    },
  )
  return text === undefined ? undefined : factsSchema.parse(JSON.parse(text))
}

export function formatBootFacts(facts: BootFacts): string {
  return `${JSON.stringify(facts, null, 2)}\n`
}

export const factsPath = (directory: string) => join(directory, FACTS_FILE)

/** Puts a folder that is whole in the place of the one that machines boot from now. */
export async function publish(draft: string, directory: string, image: string): Promise<void> {
  const target = join(directory, image)
  const old = join(directory, `.old-${image}-${process.pid}`)
  await mkdir(directory, { recursive: true })
  await rename(target, old).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error
  })
  await rename(draft, target)
  await rm(old, { recursive: true, force: true })
}
