// A planned disk as the script that sfdisk reads (sfdisk(8), "named-fields format"); pure. Names come from
// another machine: every byte that could mean something to the script's grammar is escaped.
import type { PlannedDisk, PlannedPartition } from './disk-plan.ts'

/** GPT holds 36 UTF-16 units of name (UEFI specification 2.10 §5.3.3). */
const MAX_NAME_UNITS = 36

export function formatDiskScript(disk: PlannedDisk): string {
  const lines = disk.partitions.map((partition) => formatPartition(partition, disk.sectorBytes))
  // Whoever keeps partitions keeps the table's own name, too: boot loaders know disks by it.
  const keptId = disk.partitions.some(({ isKept }) => isKept) ? (disk.existing.table?.id ?? '') : ''
  const id = keptId || (disk.diskId === '' ? '' : `0x${disk.diskId}`)
  const named = id === '' ? [] : [`label-id: ${id}`]
  return [`label: ${disk.label}`, ...named, 'unit: sectors', '', ...lines, ''].join('\n')
}

function formatPartition(partition: PlannedPartition, sectorBytes: number): string {
  const { number, startBytes, sizeBytes, typeCode, uuid, name, attributes } = partition
  const fields = [
    `start=${startBytes / sectorBytes}`,
    `size=${sizeBytes / sectorBytes}`,
    `type=${typeCode}`,
    ...(uuid === '' ? [] : [`uuid=${uuid}`]),
    ...(name === '' ? [] : [`name="${escapeName(name.slice(0, MAX_NAME_UNITS))}"`]),
    ...(attributes === '' ? [] : [`attrs="${attributes}"`]),
    ...(partition.isBootable ? ['bootable'] : []),
  ]
  return `${number} : ${fields.join(', ')}`
}

/** ASCII that is not plainly harmless becomes \xNN, which sfdisk reads back. */
function escapeName(name: string): string {
  return name.replace(/[^\w .+:\u0080-\u{10ffff}-]/gu, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
