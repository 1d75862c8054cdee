// The door of image: a tar stream becomes pack, manifest and torrent, and back. Format: FORMAT.md.
export { tarRangeOfPiece, type ChunkTable } from './chunk-table.ts'
export { chunkingFor, type ChunkingParameters } from './chunker.ts'
export { CHANGES, type Change, type EntryFacts } from './entry-changes.ts'
export type {
  DiskLayout,
  LayoutArray,
  LayoutDisk,
  LayoutEncryption,
  LayoutFileSystem,
  LayoutPartition,
  LayoutSubvolume,
  LayoutVolume,
  LayoutVolumeGroup,
} from './disk-layout.ts'
export { fileContent } from './file-content.ts'
export { diffImages, type Difference, type ImageDiff, type ImagePaths } from './image-diff.ts'
export { imageFilesOf, type FilePieces, type ImageFilePieces } from './image-torrent.ts'
export { ENTRY_TYPES, type EntryType, type ManifestEntry, type Xattr } from './manifest-entry.ts'
export {
  parseManifestHeader,
  type HeaderFacts,
  type KeptRules,
  type ManifestHeader,
} from './manifest-header.ts'
export { readManifestHeader } from './manifest-header-reader.ts'
export { readManifest, type Manifest } from './manifest-reader.ts'
export { PackReader } from './pack-reader.ts'
export { PathSet } from './path-set.ts'
export {
  CAPTURE_STATE_FILE,
  checkPieceLength,
  choosePieceLengthBytes,
  IMAGE_FILES,
  SIGNATURE_MAX_BYTES,
} from './pack-layout.ts'
export type { TarSource } from './pack-line.ts'
export { decodePiece, verifyPiece } from './piece.ts'
export { renameImage, type ImageNaming } from './rename-image.ts'
export type { SparseExtent } from './sparse-map.ts'
export { TarReader, type MemberPlace } from './tar-reader.ts'
export { verifyImage, type VerifyReport } from './verify-image.ts'
export type { PieceFault } from './verify-pieces.ts'
export { writeImage, type WriteImageOptions, type WrittenImage } from './write-image.ts'
