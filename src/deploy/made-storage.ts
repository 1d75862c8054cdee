// What a disk target made or kept, as fstab, crypttab and the boot loader need it. Invariant: device paths are
// those of now, UUIDs and labels are read back from the devices.

export interface MadeStorage {
  readonly disks: readonly MadeDisk[]
  /** The root first, then by mount point; swap and what is not mounted last. */
  readonly fileSystems: readonly MadeFileSystem[]
  /** Software RAID (md). */
  readonly arrays: readonly MadeArray[]
  /** LVM. */
  readonly volumeGroups: readonly MadeVolumeGroup[]
  /** LUKS. */
  readonly encrypted: readonly MadeEncryption[]
}

export interface MadeDisk {
  readonly device: string
  readonly label: 'gpt' | 'dos'
  /** Partition for GRUB's core image on GPT with BIOS. */
  readonly hasBiosBootPartition: boolean
  readonly efiPartitions: readonly MadeEfiPartition[]
}

/** An EFI system partition. */
export interface MadeEfiPartition {
  readonly partition: string
  /** What holds the file system: the partition, or the RAID 1 that it is a member of. */
  readonly device: string
  /** Where in the target's tree it is mounted while that is filled; null: nowhere. */
  readonly mountedAt: string | null
}

export interface MadeFileSystem {
  readonly device: string
  readonly type: string
  /** As blkid prints it. */
  readonly uuid: string
  readonly label: string
  readonly mountPoint: string | null
  /** As for fstab; empty: those of the golden client's fstab, or `defaults`. */
  readonly mountOptions: string
}

export interface MadeArray {
  readonly device: string
  readonly name: string
  /** As in mdadm.conf. */
  readonly uuid: string
  /** `raid1` … */
  readonly level: string
  readonly members: readonly string[]
}

export interface MadeVolumeGroup {
  readonly name: string
  readonly physicalVolumes: readonly string[]
}

export interface MadeEncryption {
  /** Holds the ciphertext. */
  readonly device: string
  /** Of the opened device, below /dev/mapper. */
  readonly name: string
  /** Of the LUKS header. */
  readonly uuid: string
  /** On the target; null: somebody types the passphrase. */
  readonly keyFile: string | null
}

/** Root first, then by mount point, the rest last; for MadeStorage.fileSystems. */
export function byMountPoint(a: MadeFileSystem, b: MadeFileSystem): number {
  if (a.mountPoint === null || b.mountPoint === null) {
    return Number(a.mountPoint === null) - Number(b.mountPoint === null)
  }
  return a.mountPoint < b.mountPoint ? -1 : Number(a.mountPoint > b.mountPoint)
}
