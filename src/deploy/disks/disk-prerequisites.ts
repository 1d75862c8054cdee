// Everything a DiskPlan needs of this machine, asked for before a disk is touched.
import { readFile } from 'node:fs/promises'
import { messageOf, SiError } from '../../core/core.ts'
import {
  canMapDevices,
  canMount,
  canRunArrays,
  fileSystemCommand,
  hasProgram,
  type Command,
} from '../../host/host.ts'
import { makingCommands } from './build-storage.ts'
import type { DiskPlan, PlannedLayer } from './disk-plan.ts'

/**
 * Throws ERR_SI_PROGRAM_MISSING, or ERR_SI_TARGET_UNSUITABLE when the kernel lacks something or a key cannot be
 * read.
 */
export async function checkPrerequisites(plan: DiskPlan): Promise<void> {
  const target = plan.disks.map(({ device }) => device).join(', ')
  for (const program of new Set(programsOf(plan))) {
    if (await hasProgram(program)) continue
    throw new SiError(
      'ERR_SI_PROGRAM_MISSING',
      `Cannot deploy to ${target}: program "${program}" is not installed`,
      { hint: `Install the package that holds ${program}` },
    )
  }
  for (const { type, mountPoint, isKept, subvolumes } of plan.fileSystems) {
    const place = mountPoint ?? subvolumes[0]?.mountPoint ?? null
    if (isKept || place === null || (await canMount(type))) continue
    throw lacks(target, `mount ${type}, needed for ${place}`, type)
  }
  for (const layer of plan.layers) await checkLayer(layer, target)
}

function programsOf(plan: DiskPlan): readonly string[] {
  const made = plan.fileSystems.filter(({ isKept }) => !isKept)
  const makers = made.map(({ type, uuid, label }) => fileSystemCommand({ type, uuid, label })[0])
  const layers = plan.layers.flatMap(makingCommands).map(([program]: Command) => program)
  const hasSubvolumes = made.some(({ subvolumes }) => subvolumes.length > 0)
  const stack = plan.disks.flatMap((disk) => disk.stack)
  return [
    ...['wipefs', 'sfdisk', 'partx', 'mount', 'umount', ...makers, ...layers],
    ...(hasSubvolumes ? ['btrfs'] : []),
    ...stack.map(({ kernelName }) => (kernelName.startsWith('md') ? 'mdadm' : 'dmsetup')),
  ]
}

async function checkLayer(layer: PlannedLayer, target: string): Promise<void> {
  if (layer.kind === 'array') {
    if (!(await canRunArrays(layer.level))) {
      throw lacks(target, `run RAID ${layer.level}, needed for ${layer.name}`, 'md')
    }
  } else if (!(await canMapDevices(layer.kind === 'encryption'))) {
    throw lacks(target, `map devices, needed for ${layer.name}`, 'device mapper')
  }
  if (layer.kind !== 'encryption') return
  await readFile(layer.keyFile).catch((error: unknown) => {
    const message = `Cannot read the key for ${layer.name}: ${messageOf(error)}`
    throw new SiError('ERR_SI_TARGET_UNSUITABLE', message, {
      hint: 'Correct key-file in the layout',
    })
  })
}

function lacks(target: string, what: string, which: string): SiError {
  return new SiError(
    'ERR_SI_TARGET_UNSUITABLE',
    `Cannot deploy to ${target}: this kernel cannot ${what}`,
    { hint: `Deploy from a system whose kernel has ${which}` },
  )
}
