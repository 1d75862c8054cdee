// Everything a DiskPlan needs of this machine, asked for before the disk is touched.
import { SiError } from '../../core/core.ts'
import { canMount, fileSystemCommand, hasProgram } from '../../host/host.ts'
import type { DiskPlan } from '../plan.ts'

/** Throws ERR_SI_PROGRAM_MISSING, or ERR_SI_TARGET_UNSUITABLE when the kernel cannot mount a type. */
export async function checkPrerequisites(plan: DiskPlan): Promise<void> {
  const fileSystems = plan.partitions.flatMap(({ fileSystem }) => fileSystem ?? [])
  const makers = fileSystems.map(
    ({ type, uuid, label }) => fileSystemCommand({ type, uuid, label })[0],
  )
  for (const program of new Set(['wipefs', 'sfdisk', 'partx', 'mount', 'umount', ...makers])) {
    if (await hasProgram(program)) continue
    throw new SiError(
      'ERR_SI_PROGRAM_MISSING',
      `Cannot deploy to ${plan.device}: program "${program}" is not installed`,
      { hint: `Install the package that holds ${program}` },
    )
  }
  for (const { type, mountPoint } of fileSystems) {
    if (mountPoint === null || (await canMount(type))) continue
    throw new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      `Cannot deploy to ${plan.device}: this kernel cannot mount ${type}, needed for ${mountPoint}`,
      { hint: `Deploy from a system whose kernel has ${type}` },
    )
  }
}
