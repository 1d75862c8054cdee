// The disks of the golden client in the manifest's header: tables, arrays, encryption, volume groups, file systems.
// Invariant: what was read has the right types; whether it makes sense is for those to judge who make disks of
// it. Spec: FORMAT.md §4.1.
import { z } from 'zod'

/** A subvolume of btrfs that was mounted by itself. */
export interface LayoutSubvolume {
  /** Such as `@home`, without a slash at its beginning. */
  readonly path: string
  readonly mountPoint: string
  readonly mountOptions: string
}

export interface LayoutFileSystem {
  /** ext4, xfs, vfat, swap, btrfs … */
  readonly type: string
  readonly uuid: string
  readonly label: string
  /** `/`, `/srv` …; null for swap and for what was not mounted. */
  readonly mountPoint: string | null
  readonly mountOptions: string
  readonly usedBytes: number
  /** Absent where none was mounted. */
  readonly subvolumes?: readonly LayoutSubvolume[] | undefined
}

export interface LayoutPartition {
  readonly number: number
  readonly startBytes: number
  readonly sizeBytes: number
  /** A GUID on GPT, two hexadecimal digits on msdos. */
  readonly typeCode: string
  readonly name: string
  readonly uuid: string
  readonly attributes: string
  readonly bootable: boolean
  readonly fileSystem: LayoutFileSystem | null
}

export interface LayoutDisk {
  /** As on the golden client, such as sda. */
  readonly name: string
  readonly sizeBytes: number
  readonly sectorBytes: number
  /** `none`: no partition table, the whole disk is a member of something or a file system. */
  readonly label: 'gpt' | 'dos' | 'none'
  readonly partitions: readonly LayoutPartition[]
  /** Of a disk without a table. */
  readonly fileSystem?: LayoutFileSystem | null | undefined
}

/** Software RAID (md). */
export interface LayoutArray {
  /** As in /dev/md, or the kernel's name: `root`, `md0`. */
  readonly name: string
  /** `raid1` … */
  readonly level: string
  /** Version of the superblock: `1.2`. */
  readonly metadata: string
  readonly uuid: string
  readonly members: readonly string[]
  readonly sizeBytes: number
  readonly fileSystem: LayoutFileSystem | null
}

/** An open LUKS device. */
export interface LayoutEncryption {
  readonly name: string
  /** What holds the ciphertext. */
  readonly device: string
  readonly uuid: string
  readonly fileSystem: LayoutFileSystem | null
}

export interface LayoutVolumeGroup {
  readonly name: string
  readonly members: readonly string[]
  readonly sizeBytes: number
  readonly freeBytes: number
  readonly volumes: readonly LayoutVolume[]
}

export interface LayoutVolume {
  readonly name: string
  readonly sizeBytes: number
  readonly fileSystem: LayoutFileSystem | null
}

/** Devices refer to each other by name: `sda` `sda1` `md0` `secret`, and `vg0/root` for a volume. */
export interface DiskLayout {
  readonly disks: readonly LayoutDisk[]
  /** These three are absent where there are none. */
  readonly arrays?: readonly LayoutArray[] | undefined
  readonly encrypted?: readonly LayoutEncryption[] | undefined
  readonly volumeGroups?: readonly LayoutVolumeGroup[] | undefined
}

const count = z.int().nonnegative()
/** Generous for what people and kernels write, mount options of overlays included. */
const line = z.string().max(64 * 1024)

const fileSystemSchema = z.strictObject({
  type: line,
  uuid: line,
  label: line,
  mountPoint: line.nullable(),
  mountOptions: line,
  usedBytes: count,
  subvolumes: z
    .array(z.strictObject({ path: line, mountPoint: line, mountOptions: line }))
    .max(4096)
    .optional(),
})

const partitionSchema = z.strictObject({
  number: z.int().min(1).max(4096),
  startBytes: count,
  sizeBytes: count,
  typeCode: line,
  name: line,
  uuid: line,
  attributes: line,
  bootable: z.boolean(),
  fileSystem: fileSystemSchema.nullable(),
})

const diskSchema = z.strictObject({
  name: line,
  sizeBytes: count,
  sectorBytes: z.int().min(512).max(65536),
  label: z.enum(['gpt', 'dos', 'none']),
  partitions: z.array(partitionSchema).max(4096),
  fileSystem: fileSystemSchema.nullable().optional(),
})

const members = z.array(line).max(1024)

export const diskLayoutSchema: z.ZodType<DiskLayout> = z.strictObject({
  disks: z.array(diskSchema).max(1024),
  arrays: z
    .array(
      z.strictObject({
        ...{ name: line, level: line, metadata: line, uuid: line, members, sizeBytes: count },
        fileSystem: fileSystemSchema.nullable(),
      }),
    )
    .max(1024)
    .optional(),
  encrypted: z
    .array(
      z.strictObject({
        ...{ name: line, device: line, uuid: line, fileSystem: fileSystemSchema.nullable() },
      }),
    )
    .max(1024)
    .optional(),
  volumeGroups: z
    .array(
      z.strictObject({
        ...{ name: line, members, sizeBytes: count, freeBytes: count },
        volumes: z
          .array(
            z.strictObject({
              ...{ name: line, sizeBytes: count, fileSystem: fileSystemSchema.nullable() },
            }),
          )
          .max(4096),
      }),
    )
    .max(1024)
    .optional(),
})
