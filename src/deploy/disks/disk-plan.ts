// What a deployment will do to disks, as a value: made before anything is written, shown to people, confirmed,
// and then carried out as it stands. Plain JSON. Devices are paths as they will be while the target is made.
import type {
  BlockDevice,
  MakeableFileSystem,
  PartitionTable,
  Signature,
  StackedDevice,
} from '../../host/host.ts'
import type { PlannedImage } from '../plan.ts'
import type { RaidLevel, RaidMetadata, Size, Subvolume, WantedDisk } from './layout.ts'

/** A disk of the target, looked at. */
export interface TargetDisk {
  readonly device: BlockDevice
  /** What is on the disk now. */
  readonly existing: { readonly table: PartitionTable | null; readonly signature: Signature | null }
  /** Arrays and mapped devices on it that nobody uses, the uppermost first. */
  readonly stack: readonly StackedDevice[]
}

export interface PlannedPartition {
  readonly number: number
  readonly device: string
  readonly startBytes: number
  readonly sizeBytes: number
  /** What it measured on the golden client; null: it had none. */
  readonly sourceSizeBytes: number | null
  /** A GUID on GPT, hexadecimal digits on msdos. */
  readonly typeCode: string
  readonly name: string
  /** GPT partition GUID; empty: sfdisk chooses. */
  readonly uuid: string
  readonly attributes: string
  readonly isBootable: boolean
  /** Stays where it is and as it is. */
  readonly isKept: boolean
  /** The extended partition of an msdos table. */
  readonly isContainer: boolean
}

export interface PlannedDisk {
  /** In the layout. */
  readonly name: string
  readonly device: string
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly label: WantedDisk['label']
  readonly diskId: string
  readonly existing: TargetDisk['existing']
  readonly stack: readonly StackedDevice[]
  /** In the order of the disk. */
  readonly partitions: readonly PlannedPartition[]
}

export interface PlannedArray {
  readonly kind: 'array'
  readonly name: string
  readonly device: string
  readonly level: RaidLevel
  readonly metadata: RaidMetadata
  /** Empty: mdadm chooses. */
  readonly uuid: string
  readonly members: readonly string[]
  /** At least. */
  readonly sizeBytes: number
}

export interface PlannedEncryption {
  readonly kind: 'encryption'
  readonly name: string
  /** Of the opened device. */
  readonly device: string
  /** Holds the ciphertext. */
  readonly on: string
  readonly uuid: string
  readonly keyFile: string
  readonly keyInTarget: string | null
  readonly sizeBytes: number
}

export interface PlannedVolume {
  readonly name: string
  readonly device: string
  readonly size: Size
  readonly sizeBytes: number
  readonly sourceSizeBytes: number | null
}

export interface PlannedVolumeGroup {
  readonly kind: 'volumeGroup'
  readonly name: string
  readonly members: readonly string[]
  readonly sizeBytes: number
  readonly volumes: readonly PlannedVolume[]
}

/** What stands between partitions and file systems, in the order in which it is made. */
export type PlannedLayer = PlannedArray | PlannedEncryption | PlannedVolumeGroup

export interface PlannedFileSystem {
  readonly device: string
  readonly type: MakeableFileSystem
  /** Empty: whatever mkfs chooses. */
  readonly uuid: string
  readonly label: string
  readonly mountPoint: string | null
  /** As for fstab. */
  readonly mountOptions: string
  /** Given where mkfs would by default make too few. */
  readonly minimumInodes: number | null
  readonly subvolumes: readonly Subvolume[]
  /** Neither made nor mounted while the target is filled. */
  readonly isKept: boolean
}

export interface DiskPlan {
  readonly kind: 'disk'
  readonly image: PlannedImage
  /** True: an interrupted deployment of the same image goes on; nothing is destroyed. */
  readonly resumes: boolean
  readonly disks: readonly PlannedDisk[]
  readonly layers: readonly PlannedLayer[]
  readonly fileSystems: readonly PlannedFileSystem[]
  readonly notes: readonly string[]
  /** What is done before anything is written. */
  readonly before?: readonly string[]
  /** What is done when the tree is complete. */
  readonly finishing?: readonly string[]
}

/** Everything that a plan makes a node in /dev for, partitions aside. */
export function layerDevices(layer: PlannedLayer): readonly string[] {
  return layer.kind === 'volumeGroup' ? layer.volumes.map(({ device }) => device) : [layer.device]
}
