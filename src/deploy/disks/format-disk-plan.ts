// A DiskPlan for people: every disk, partition and file system that is lost, and what is made instead. Pure.
import { formatSize } from '../../core/core.ts'
import type { Signature } from '../../host/host.ts'
import { layerDevices } from './disk-plan.ts'
import type { DiskPlan, PlannedDisk, PlannedFileSystem, PlannedLayer } from './disk-plan.ts'

export function formatDiskPlan(plan: DiskPlan): readonly string[] {
  return [
    ...(plan.resumes ? [] : plan.disks.flatMap(formatDestroyed)),
    ...plan.disks.flatMap((disk) => formatCreated(disk, plan)),
    ...plan.layers.flatMap((layer) => formatLayer(layer, plan)),
  ]
}

function formatDestroyed(disk: PlannedDisk): readonly string[] {
  const { device, stack } = disk
  const { table, signature } = disk.existing
  if (table === null && signature === null) return [`${device} holds nothing that is known`]
  const kept = disk.partitions.filter(({ isKept }) => isKept).map(({ number }) => number)
  const but = kept.length === 0 ? '' : ` but partition ${kept.join(', ')}`
  const lines = [`DESTROY everything on ${device}${but}:`]
  if (signature !== null) lines.push(`  the whole device: ${formatSignature(signature)}`)
  for (const partition of table?.partitions ?? []) {
    const { number, sizeBytes } = partition
    if (kept.includes(number)) continue
    const content = formatSignature(partition.signature)
    lines.push(
      `  partition ${number}${formatName(partition.name)}, ${formatSize(sizeBytes)}: ${content}`,
    )
  }
  for (const one of stack.toReversed()) {
    lines.push(`  ${one.name} (${one.type}) on it: ${formatSignature(one.signature)}`)
  }
  return lines
}

function formatName(name: string): string {
  return name === '' ? '' : ` ${JSON.stringify(name)}`
}

function formatSignature(signature: Signature | null): string {
  if (signature === null) return 'nothing that is known'
  const { type, uuid } = signature
  return `${type}${formatName(signature.label)}${uuid === '' ? '' : ` (${uuid})`}`
}

const LABELS: Readonly<Record<PlannedDisk['label'], string>> = {
  ...{ gpt: 'GPT', dos: 'msdos', none: 'no partition table' },
}

function formatCreated(disk: PlannedDisk, plan: DiskPlan): readonly string[] {
  const { device, label } = disk
  const what = `Create on ${device} (${formatSize(disk.sizeBytes)}, ${LABELS[label]}):`
  if (label === 'none') return [what, `  the whole disk: ${formatUse(device, plan)}`]
  const lines = disk.partitions.map((partition) => {
    const { number, isContainer, isKept } = partition
    const content = isContainer ? 'extended' : formatUse(partition.device, plan)
    const words = isKept ? `kept as it is: ${content}` : content
    return `  partition ${number}${formatName(partition.name)}, ${formatChange(partition)}: ${words}`
  })
  return [what, ...lines]
}

function formatChange(sizes: {
  readonly sizeBytes: number
  readonly sourceSizeBytes: number | null
}): string {
  const { sizeBytes, sourceSizeBytes } = sizes
  const isSame = sourceSizeBytes === null || sourceSizeBytes === sizeBytes
  return `${formatSize(sizeBytes)}${isSame ? '' : ` (was ${formatSize(sourceSizeBytes)})`}`
}

/** What is on a device: a file system, or whatever it is a member of. */
function formatUse(device: string, { fileSystems, layers }: DiskPlan): string {
  const fileSystem = fileSystems.find((one) => one.device === device)
  if (fileSystem !== undefined) return formatFileSystem(fileSystem)
  const owner = layers.find((layer) =>
    layer.kind === 'encryption' ? layer.on === device : layer.members.includes(device),
  )
  switch (owner?.kind) {
    case undefined:
      return 'left empty'
    case 'array':
      return `member of RAID ${owner.level} ${owner.name}`
    case 'encryption':
      return `LUKS, opened as ${owner.name}`
    case 'volumeGroup':
      return `physical volume of ${owner.name}`
    default:
      return owner satisfies never
  }
}

function formatFileSystem({ type, label, mountPoint, subvolumes }: PlannedFileSystem): string {
  const volumes = subvolumes.map((one) => `${one.path} for ${one.mountPoint ?? 'nothing'}`)
  return [
    type,
    ...(label === '' ? [] : [JSON.stringify(label)]),
    ...(mountPoint === null ? [] : [`for ${mountPoint}`]),
    ...(volumes.length === 0 ? [] : [`with subvolumes ${volumes.join(', ')}`]),
  ].join(' ')
}

function formatLayer(layer: PlannedLayer, plan: DiskPlan): readonly string[] {
  const [device = ''] = layerDevices(layer)
  const about = `about ${formatSize(layer.sizeBytes)}`
  switch (layer.kind) {
    case 'array': {
      const of = `RAID ${layer.level} of ${layer.members.join(', ')}`
      return [`Create ${device}, ${about}, ${of}: ${formatUse(device, plan)}`]
    }
    case 'encryption':
      return [`Encrypt ${layer.on} as ${device}, ${about}: ${formatUse(device, plan)}`]
    case 'volumeGroup': {
      const head = `Create volume group ${layer.name}, ${about}, on ${layer.members.join(', ')}:`
      const volumes = layer.volumes.map(
        (volume) =>
          `  volume ${volume.name}, ${formatChange(volume)}: ${formatUse(volume.device, plan)}`,
      )
      return [head, ...volumes]
    }
    default:
      return layer satisfies never
  }
}
