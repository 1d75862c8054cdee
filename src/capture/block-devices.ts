// What lsblk, sfdisk and blkid of the golden client say, as values. Pure; bad output gives null or
// nothing, never a half-read device. Specs: lsblk(8) --json, sfdisk(8) --json, blkid(8) -o export.
import { z } from 'zod'
import type { BlkidValues } from '../host/host.ts'

export interface BlockDevice {
  /** Kernel name, such as `sda1` or `dm-0`. */
  readonly name: string
  /** What device mapper calls it, such as `web-root`; otherwise the kernel name. */
  readonly mapperName: string
  /** Kernel name of the device it is part of, or null. */
  readonly parent: string | null
  /** lsblk's TYPE: disk, loop, part, lvm, crypt, raid1 … */
  readonly type: string
  /** `major:minor`. */
  readonly device: string
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly isRemovable: boolean
}

export interface PartitionTable {
  readonly label: string
  readonly sectorBytes: number
  readonly partitions: readonly TablePartition[]
}

export interface TablePartition {
  /** Kernel name of the partition's device. */
  readonly device: string
  readonly startBytes: number
  readonly sizeBytes: number
  readonly type: string
  readonly uuid: string
  readonly name: string
  readonly attributes: string
  readonly isBootable: boolean
}

export interface BlockDevices {
  readonly nodes: readonly BlockDevice[]
  /** By kernel name of the disk; null when its table was not understood. */
  readonly tables: ReadonlyMap<string, PartitionTable | null>
  /** blkid's values by kernel name. */
  readonly contents: ReadonlyMap<string, BlkidValues>
  /** `mdadm --detail --export` by kernel name of the array. */
  readonly arrays: ReadonlyMap<string, BlkidValues>
  readonly volumes: readonly LogicalVolume[]
  readonly physicalVolumes: readonly PhysicalVolume[]
}

export interface LogicalVolume {
  readonly group: string
  readonly name: string
  /** Below /dev/mapper. */
  readonly mapperName: string
  readonly sizeBytes: number
  /** First letter of lvs' attributes: what kind of volume it is (lvs(8)). */
  readonly kind: string
  readonly groupBytes: number
  readonly groupFreeBytes: number
}

export interface PhysicalVolume {
  /** Path, such as /dev/sda3 or /dev/mapper/secret. */
  readonly path: string
  /** Empty: it belongs to none. */
  readonly group: string
}

const wholeNumber = z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)])
const truth = z.union([z.boolean(), z.enum(['0', '1']).transform((text) => text === '1')])

const lsblkNode = z.object({
  kname: z.string(),
  name: z.string().optional(),
  pkname: z.string().nullable(),
  type: z.string(),
  'maj:min': z.string().transform((text) => text.trim()),
  size: wholeNumber.nullable(),
  'log-sec': wholeNumber,
  rm: truth,
  get children() {
    return z.array(lsblkNode).optional()
  },
})

const lsblkOutput = z.object({ blockdevices: z.array(lsblkNode) })

/** Null when it is no lsblk output. A device below two parents is listed once for each. */
export function parseLsblk(text: string): BlockDevice[] | null {
  const parsed = lsblkOutput.safeParse(parseJson(text))
  if (!parsed.success) return null
  const flatten = (node: z.infer<typeof lsblkNode>): BlockDevice[] => [
    {
      name: node.kname,
      mapperName: node.name ?? node.kname,
      parent: node.pkname,
      type: node.type,
      device: node['maj:min'],
      sizeBytes: node.size ?? 0,
      sectorBytes: node['log-sec'],
      isRemovable: node.rm,
    },
    ...(node.children ?? []).flatMap(flatten),
  ]
  return parsed.data.blockdevices.flatMap(flatten)
}

const lvsOutput = z.object({
  report: z.array(
    z.object({
      lv: z.array(
        z.object({
          ...{ vg_name: z.string(), lv_name: z.string(), lv_dm_path: z.string() },
          ...{ lv_size: wholeNumber, lv_attr: z.string() },
          ...{ vg_size: wholeNumber, vg_free: wholeNumber },
        }),
      ),
    }),
  ),
})

/** `lvs --reportformat json`; empty when it is no such output. */
export function parseLvs(text: string): LogicalVolume[] {
  const parsed = lvsOutput.safeParse(parseJson(text))
  if (!parsed.success) return []
  return parsed.data.report.flatMap(({ lv }) =>
    lv.map((one) => ({
      ...{ group: one.vg_name, name: one.lv_name, sizeBytes: one.lv_size },
      mapperName: one.lv_dm_path.replace(/^\/dev\/mapper\//, ''),
      kind: one.lv_attr.slice(0, 1),
      ...{ groupBytes: one.vg_size, groupFreeBytes: one.vg_free },
    })),
  )
}

const pvsOutput = z.object({
  report: z.array(
    z.object({ pv: z.array(z.object({ pv_name: z.string(), vg_name: z.string() })) }),
  ),
})

/** `pvs --reportformat json`; empty when it is no such output. */
export function parsePvs(text: string): PhysicalVolume[] {
  const parsed = pvsOutput.safeParse(parseJson(text))
  if (!parsed.success) return []
  return parsed.data.report.flatMap(({ pv }) =>
    pv.map((one) => ({ path: one.pv_name, group: one.vg_name })),
  )
}

const sfdiskOutput = z.object({
  partitiontable: z.object({
    label: z.string(),
    unit: z.literal('sectors'),
    sectorsize: z.number().int().positive().default(512),
    partitions: z
      .array(
        z.object({
          node: z.string(),
          start: z.number().int().nonnegative(),
          size: z.number().int().nonnegative(),
          type: z.string(),
          uuid: z.string().default(''),
          name: z.string().default(''),
          attrs: z.string().default(''),
          bootable: z.boolean().default(false),
        }),
      )
      .default([]),
  }),
})

/** Null when it is no sfdisk output. Sectors become bytes. */
export function parseSfdisk(text: string): PartitionTable | null {
  const parsed = sfdiskOutput.safeParse(parseJson(text))
  if (!parsed.success) return null
  const { label, sectorsize, partitions } = parsed.data.partitiontable
  return {
    label,
    sectorBytes: sectorsize,
    partitions: partitions.map((partition) => ({
      device: partition.node.slice(partition.node.lastIndexOf('/') + 1),
      startBytes: partition.start * sectorsize,
      sizeBytes: partition.size * sectorsize,
      type: partition.type,
      uuid: partition.uuid,
      name: partition.name,
      attributes: partition.attrs,
      isBootable: partition.bootable,
    })),
  }
}

/** blkid counts partitions in units of 512 bytes whatever the disk's sector size. */
const BLKID_SECTOR_BYTES = 512

/** The partition as blkid alone describes it, where there is no sfdisk; null without PART_ENTRY_*. */
export function partitionFromBlkid(device: string, values: BlkidValues): TablePartition | null {
  const { PART_ENTRY_SCHEME: scheme, PART_ENTRY_TYPE: type } = values
  const start = Number(values['PART_ENTRY_OFFSET'])
  const size = Number(values['PART_ENTRY_SIZE'])
  if (scheme === undefined || type === undefined || !(start >= 0) || !(size >= 0)) return null
  const flags = /^0x[0-9a-f]+$/i.test(values['PART_ENTRY_FLAGS'] ?? '')
    ? BigInt(values['PART_ENTRY_FLAGS'] ?? '0')
    : 0n
  return {
    device,
    startBytes: start * BLKID_SECTOR_BYTES,
    sizeBytes: size * BLKID_SECTOR_BYTES,
    type: type.replace(/^0x/, ''),
    uuid: values['PART_ENTRY_UUID'] ?? '',
    name: values['PART_ENTRY_NAME'] ?? '',
    attributes: scheme === 'gpt' ? formatGptAttributes(flags) : '',
    isBootable: scheme === 'dos' && (flags & 0x80n) !== 0n,
  }
}

const GPT_ATTRIBUTES = ['RequiredPartition', 'NoBlockIOProtocol', 'LegacyBIOSBootable']
const GPT_TYPE_SPECIFIC_BITS = Array.from({ length: 16 }, (_, index) => 48 + index)

/** The GPT attribute bits in sfdisk's words, such as `LegacyBIOSBootable GUID:63`. */
function formatGptAttributes(flags: bigint): string {
  const isSet = (bit: number) => (flags & (1n << BigInt(bit))) !== 0n
  const words = GPT_ATTRIBUTES.filter((_, bit) => isSet(bit))
  const bits = GPT_TYPE_SPECIFIC_BITS.filter(isSet)
  return [...words, ...(bits.length === 0 ? [] : [`GUID:${bits.join(',')}`])].join(' ')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
