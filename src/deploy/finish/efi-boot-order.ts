// Boot entries of this machine's UEFI firmware for the loaders on the target. Nothing here is needed to boot, as the fallback
// path is there: what the firmware refuses becomes a note.
import { isSiError, messageOf } from '../../core/core.ts'
import { hasProgram, run } from '../../host/host.ts'
import { orderWith, parseEfiEntries, type EfiEntries } from './efi-entries.ts'
import type { TargetSystem } from './target-system.ts'
import type { TargetTree } from './target-tree.ts'

export interface EfiLoader {
  readonly label: string
  readonly disk: string
  /** Such as /dev/sda1. */
  readonly partition: string
  /** Name of the file in \EFI\LABEL. */
  readonly file: string
}

type Efibootmgr = (args: readonly string[]) => Promise<EfiEntries>

/** Replaces entries of these labels. */
export async function registerEfiEntries(
  loaders: readonly EfiLoader[],
  programs: { readonly system: TargetSystem; readonly tree: TargetTree },
): Promise<readonly string[]> {
  const efibootmgr = await findEfibootmgr(programs)
  if (efibootmgr === undefined) {
    return ['no boot entry is made: neither the image nor this machine has efibootmgr']
  }
  try {
    await register(loaders, efibootmgr)
    return []
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_PROGRAM_FAILED')) throw error
    return [`no boot entry is made: ${messageOf(error)}`]
  }
}

async function findEfibootmgr(programs: {
  readonly system: TargetSystem
  readonly tree: TargetTree
}): Promise<Efibootmgr | undefined> {
  const inImage = ['usr/bin', 'usr/sbin', 'bin', 'sbin'].some((folder) =>
    programs.tree.exists(`${folder}/efibootmgr`),
  )
  if (inImage) {
    return async (args) => parseEfiEntries((await programs.system.run('efibootmgr', args)).stdout)
  }
  if (!(await hasProgram('efibootmgr'))) return undefined
  return async (args) => parseEfiEntries((await run('efibootmgr', args)).stdout)
}

async function register(loaders: readonly EfiLoader[], efibootmgr: Efibootmgr): Promise<void> {
  const old = await efibootmgr([])
  for (const [number, label] of old.labels) {
    if (!loaders.some((loader) => loader.label === label)) continue
    await efibootmgr(['--bootnum', number, '--delete-bootnum'])
  }
  let known = await efibootmgr([])
  const added: string[] = []
  for (const { label, disk, partition, file } of loaders) {
    const where = ['--disk', disk, '--part', /\d+$/.exec(partition)?.[0] ?? '1']
    const what = ['--label', label, '--loader', `\\EFI\\${label}\\${file}`]
    const after = await efibootmgr(['--create-only', ...where, ...what])
    added.push(...[...after.labels.keys()].filter((number) => !known.labels.has(number)))
    known = after
  }
  await efibootmgr(['--bootorder', orderWith(known, added).join(',')])
}
