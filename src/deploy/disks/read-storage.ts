// What is on the disks of a plan now, be it made or found, for fstab, crypttab and the boot loader. Names are read
// back from the devices: a plan may have left them to mkfs.
import { readArray, readSignature } from '../../host/host.ts'
import {
  byMountPoint,
  type MadeArray,
  type MadeDisk,
  type MadeEfiPartition,
  type MadeEncryption,
  type MadeFileSystem,
  type MadeStorage,
} from '../made-storage.ts'
import type { DiskPlan, PlannedDisk, PlannedFileSystem } from './disk-plan.ts'
import { BIOS_BOOT_TYPE, EFI_SYSTEM_TYPE, toTypeCode } from './partition-type.ts'

export async function readStorage(plan: DiskPlan, signal: AbortSignal): Promise<MadeStorage> {
  const fileSystems: MadeFileSystem[] = []
  for (const one of plan.fileSystems) fileSystems.push(...(await readFileSystem(one, signal)))
  const arrays: MadeArray[] = []
  const encrypted: MadeEncryption[] = []
  for (const layer of plan.layers) {
    if (layer.kind === 'array') {
      const { device, members, level } = layer
      const known = await readArray(device, signal)
      arrays.push({ ...known, device, members, level: `raid${level}` })
    } else if (layer.kind === 'encryption') {
      const { on, name, keyInTarget } = layer
      const uuid = (await readSignature(on, undefined, signal))?.uuid ?? ''
      encrypted.push({ device: on, name, uuid, keyFile: keyInTarget })
    }
  }
  return {
    disks: plan.disks.flatMap((disk) => describeDisk(disk, plan)),
    fileSystems: fileSystems.sort(byMountPoint),
    arrays,
    volumeGroups: plan.layers.flatMap((layer) =>
      layer.kind === 'volumeGroup' ? [{ name: layer.name, physicalVolumes: layer.members }] : [],
    ),
    encrypted,
  }
}

/** One for the file system, or one for each of its subvolumes that is mounted. */
async function readFileSystem(
  fileSystem: PlannedFileSystem,
  signal: AbortSignal,
): Promise<readonly MadeFileSystem[]> {
  const { device, type, mountPoint, mountOptions, subvolumes } = fileSystem
  const { uuid = '', label = '' } = (await readSignature(device, undefined, signal)) ?? {}
  const own = { device, type, uuid, label, mountPoint, mountOptions }
  const mounted = subvolumes.filter((one) => one.mountPoint !== null)
  return [
    ...(mountPoint === null && mounted.length > 0 ? [] : [own]),
    ...mounted.map((one) => ({
      ...{ ...own, mountPoint: one.mountPoint },
      mountOptions: withSubvolume(one.mountOptions, one.path),
    })),
  ]
}

/** The number of a subvolume (`subvolid=`) is another one on each file system; its path stays. */
function withSubvolume(options: string, path: string): string {
  const others = options.split(',').filter((one) => one !== '' && !/^subvol(id)?=/.test(one))
  return [...others, `subvol=${path}`].join(',')
}

/** A disk without a table has no place for a boot loader. */
function describeDisk(
  { device, label, partitions }: PlannedDisk,
  plan: DiskPlan,
): readonly MadeDisk[] {
  if (label === 'none') return []
  const ofType = (typeCode: string | undefined) =>
    partitions.filter((partition) => partition.typeCode === typeCode).map((one) => one.device)
  const efi = label === 'gpt' ? EFI_SYSTEM_TYPE : toTypeCode('efi', label)
  return [
    {
      ...{ device, label },
      hasBiosBootPartition: label === 'gpt' && ofType(BIOS_BOOT_TYPE).length > 0,
      efiPartitions: ofType(efi).map((partition) => describeEfi(partition, plan)),
    },
  ]
}

function describeEfi(partition: string, { layers, fileSystems }: DiskPlan): MadeEfiPartition {
  const arrays = layers.filter((layer) => layer.kind === 'array')
  const device = arrays.find(({ members }) => members.includes(partition))?.device ?? partition
  const { mountPoint = null, isKept = false } =
    fileSystems.find((fileSystem) => fileSystem.device === device) ?? {}
  return { partition, device, mountedAt: isKept ? null : mountPoint }
}
