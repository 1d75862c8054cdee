// What disks are to hold, whoever says so: the golden client (captured-layout.ts) or a file (layout-file.ts).
// Whatever can hold a file system has a name that others refer to: a whole disk `sda`, a partition `sda1`,
// an array `md0`, an opened LUKS device `secret`, a logical volume `vg0/root`.
// Invariant: a Layout that was checked has unique names, and each of them is used once at most.
import { partitionPath } from '../../host/host.ts'

export type Size =
  | { readonly kind: 'fixed'; readonly bytes: number }
  /** Of what the disk or the volume group offers. */
  | { readonly kind: 'percent'; readonly percent: number }
  /** What the others leave. */
  | { readonly kind: 'rest' }

/** How a disk of the target is found. */
export interface DiskRule {
  /** Canonical or not, such as /dev/sda. */
  readonly path: string | null
  /** Patterns with `*`: a name in /dev/disk/by-id, a model, a serial number. */
  readonly byId: string | null
  readonly model: string | null
  readonly serial: string | null
  readonly transport: Transport | null
  readonly minimumBytes: number
  readonly maximumBytes: number
  /** Which of several that match; null: there must be exactly one. */
  readonly pick: 'first' | 'smallest' | 'largest' | null
}

export const TRANSPORTS = ['nvme', 'sata', 'scsi', 'virtio', 'mmc', 'usb'] as const
export type Transport = (typeof TRANSPORTS)[number]

export const FIRST_DISK: DiskRule = {
  ...{ path: null, byId: null, model: null, serial: null, transport: null },
  ...{ minimumBytes: 0, maximumBytes: Infinity, pick: 'first' },
}

export interface Subvolume {
  /** Without a slash at its beginning: `@home`. */
  readonly path: string
  readonly mountPoint: string | null
  readonly mountOptions: string
}

export interface WantedFileSystem {
  /** One that is not makeable is left out with a note, or refused when it is mounted. */
  readonly type: string
  /** Empty: a new one. */
  readonly uuid: string
  readonly label: string
  readonly mountPoint: string | null
  /** As for fstab. */
  readonly mountOptions: string
  /** What it held on the golden client. */
  readonly usedBytes: number
  /** Of btrfs. */
  readonly subvolumes: readonly Subvolume[]
}

export interface WantedPartition {
  readonly number: number
  readonly size: Size
  /** What it measured on the golden client; null: it had none. */
  readonly sourceSizeBytes: number | null
  /** A GUID on GPT, hexadecimal digits on msdos. */
  readonly typeCode: string
  readonly name: string
  /** GPT only; empty: a new one. */
  readonly uuid: string
  readonly attributes: string
  readonly isBootable: boolean
  /** Its data survives: it stays where it is, and as it is. */
  readonly isKept: boolean
  readonly fileSystem: WantedFileSystem | null
}

export interface WantedDisk {
  readonly name: string
  readonly rule: DiskRule
  /** `none`: the whole disk is one device. */
  readonly label: 'gpt' | 'dos' | 'none'
  /** Of an msdos disk, eight hexadecimal digits; empty: a new one. */
  readonly diskId: string
  /** Number of the extended partition; null: the first that is free. */
  readonly extendedNumber: number | null
  readonly partitions: readonly WantedPartition[]
  readonly fileSystem: WantedFileSystem | null
}

export const RAID_LEVELS = ['0', '1', '5', '6', '10'] as const
export type RaidLevel = (typeof RAID_LEVELS)[number]

export const RAID_METADATA = ['1.0', '1.1', '1.2'] as const
export type RaidMetadata = (typeof RAID_METADATA)[number]

/** The fewest members of each level. */
export const FEWEST_MEMBERS: Readonly<Record<RaidLevel, number>> = {
  ...{ '0': 2, '1': 1, '5': 3, '6': 4, '10': 2 },
}

export interface WantedArray {
  readonly name: string
  readonly level: RaidLevel
  readonly metadata: RaidMetadata
  /** As mdadm prints it; empty: a new one. */
  readonly uuid: string
  readonly members: readonly string[]
  readonly fileSystem: WantedFileSystem | null
}

export interface WantedEncryption {
  /** Of the opened device, below /dev/mapper. */
  readonly name: string
  /** Name of the device that holds the ciphertext. */
  readonly device: string
  readonly uuid: string
  /** Path on the machine that installs; null: a layout that was captured does not know. */
  readonly keyFile: string | null
  /** Where the target keeps the key; null: somebody types the passphrase. */
  readonly keyInTarget: string | null
  readonly fileSystem: WantedFileSystem | null
}

export interface WantedVolumeGroup {
  readonly name: string
  readonly members: readonly string[]
  readonly volumes: readonly WantedVolume[]
}

export interface WantedVolume {
  readonly name: string
  readonly size: Size
  readonly sourceSizeBytes: number | null
  readonly fileSystem: WantedFileSystem | null
}

export interface Layout {
  /** `golden`: sizes may grow to what the image needs. */
  readonly origin: 'golden' | 'file'
  readonly disks: readonly WantedDisk[]
  readonly arrays: readonly WantedArray[]
  readonly encrypted: readonly WantedEncryption[]
  readonly volumeGroups: readonly WantedVolumeGroup[]
}

/** `sda` + 1 → sda1, `nvme0n1` + 1 → nvme0n1p1: as the kernel does it. */
export function partitionName(disk: Pick<WantedDisk, 'name'>, number: number): string {
  return partitionPath(disk.name, number)
}

/** On msdos, numbers above 4 are those of logical partitions. */
export function isLogical({ label }: Pick<WantedDisk, 'label'>, number: number): boolean {
  return label === 'dos' && number > 4
}
