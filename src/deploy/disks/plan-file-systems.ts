// The file systems of a plan: which of the layout's can be made, and on what. Pure.
import type { MakeableFileSystem } from '../../host/host.ts'
import { totalUsage } from './capacity.ts'
import { listDevices } from './check-layout.ts'
import type { PlannedFileSystem } from './disk-plan.ts'
import type { WantedFileSystem } from './layout.ts'
import { isMakeable } from './makeable.ts'
import { refusal, type Placed, type Planning } from './planning.ts'
import { chooseInodes } from './space.ts'

/** One for each device of the layout that has one; what stays empty is in the notes. */
export function planFileSystems(planning: Planning): readonly PlannedFileSystem[] {
  const planned: PlannedFileSystem[] = []
  for (const { name, fileSystem } of listDevices(planning.layout)) {
    const on = planning.devices.get(name)
    if (fileSystem === null || on === undefined) continue
    const { type } = fileSystem
    if (isMakeable(type)) {
      planned.push(planFileSystem({ ...fileSystem, type }, on, planning))
      continue
    }
    if (fileSystem.mountPoint !== null) {
      const why = `it has ${type} on ${fileSystem.mountPoint}, which cannot be made here`
      throw refusal(planning, on.path)(why, 'Write a layout file with another format')
    }
    planning.notes.push(`${name} held ${type}; it stays empty`)
  }
  return planned
}

function planFileSystem(
  fileSystem: WantedFileSystem & { readonly type: MakeableFileSystem },
  on: Placed,
  { usage, notes }: Planning,
): PlannedFileSystem {
  const { type, uuid, label, mountPoint, mountOptions, subvolumes } = fileSystem
  const places = [mountPoint, ...subvolumes.map((one) => one.mountPoint)]
  const mounted = places.filter((place) => place !== null)
  if (on.isKept && mounted.length > 0) {
    const where = mounted.join(', ')
    notes.push(`${where} is kept: what the image holds there stays hidden beneath it`)
  }
  const minimumInodes = chooseInodes(type, on.sizeBytes, totalUsage(mounted, usage))
  return {
    ...{ device: on.path, type, uuid, label, mountPoint, mountOptions, subvolumes },
    ...{ minimumInodes, isKept: on.isKept },
  }
}
