// Arrays, encryption and volume groups of the golden client for its layout. Pure.
import type {
  DiskLayout,
  LayoutArray,
  LayoutEncryption,
  LayoutVolumeGroup,
} from '../image/image.ts'
import type { BlockDevice } from './block-devices.ts'
import {
  findPhysicalVolumes,
  findVolume,
  isArray,
  isPlainVolume,
  membersOf,
  referenceName,
} from './device-stack.ts'
import { buildFileSystem } from './layout-file-system.ts'
import type { LayoutSource } from './layout.ts'

type Stacked = Pick<DiskLayout, 'arrays' | 'encrypted' | 'volumeGroups'>

/** Of the devices in use; parts that do not occur are left out. */
export function buildStacked(nodes: readonly BlockDevice[], source: LayoutSource): Stacked {
  const arrays = nodes.filter(isArray).map((node) => buildArray(node, source))
  const crypts = nodes.filter(({ type }) => type === 'crypt')
  const encrypted = crypts.flatMap((node) => buildEncryption(node, source))
  const groups = new Set(nodes.flatMap((node) => volumeOf(node, source)?.group ?? []))
  const volumeGroups = [...groups].map((group) => buildGroup(group, source))
  return {
    ...(arrays.length === 0 ? {} : { arrays }),
    ...(encrypted.length === 0 ? {} : { encrypted }),
    ...(volumeGroups.length === 0 ? {} : { volumeGroups }),
  }
}

function volumeOf(node: BlockDevice, { devices }: LayoutSource) {
  return devices === null || node.type !== 'lvm' ? undefined : findVolume(devices, node)
}

function buildArray(node: BlockDevice, source: LayoutSource): LayoutArray {
  const { devices } = source
  const values = devices?.arrays.get(node.name) ?? {}
  return {
    name: devices === null ? node.name : referenceName(devices, node),
    level: values['MD_LEVEL'] ?? node.type,
    ...{ metadata: values['MD_METADATA'] ?? '1.2', uuid: values['MD_UUID'] ?? '' },
    members: memberNames(node, source),
    sizeBytes: node.sizeBytes,
    fileSystem: buildFileSystem(node, source),
  }
}

function memberNames(node: BlockDevice, { devices }: LayoutSource): readonly string[] {
  if (devices === null) return []
  return membersOf(devices, node).map((member) => referenceName(devices, member))
}

function buildEncryption(node: BlockDevice, source: LayoutSource): readonly LayoutEncryption[] {
  const { devices } = source
  if (devices === null) return []
  return membersOf(devices, node).map((member) => ({
    name: node.mapperName,
    device: referenceName(devices, member),
    uuid: devices.contents.get(member.name)?.['UUID'] ?? '',
    fileSystem: buildFileSystem(node, source),
  }))
}

function buildGroup(group: string, source: LayoutSource): LayoutVolumeGroup {
  const { devices } = source
  const volumes = (devices?.volumes ?? []).filter((one) => one.group === group)
  const members = devices === null ? [] : findPhysicalVolumes(devices, group)
  return {
    name: group,
    members: devices === null ? [] : members.map((member) => referenceName(devices, member)),
    sizeBytes: volumes[0]?.groupBytes ?? 0,
    freeBytes: volumes[0]?.groupFreeBytes ?? 0,
    volumes: volumes.filter(isPlainVolume).map(({ name, sizeBytes, mapperName }) => {
      const node = devices?.nodes.find((one) => one.mapperName === mapperName)
      const fileSystem = node === undefined ? null : buildFileSystem(node, source)
      return { name, sizeBytes, fileSystem }
    }),
  }
}
