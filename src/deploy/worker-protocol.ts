// What the network thread and the deployment's workers tell each other; all of it survives structured
// cloning, large tables travel as shared memory.
import type { Manifest } from '../image/image.ts'
import type { DigestAlgorithm } from '../pki/pki.ts'
import type { EntryTable } from './entry-table.ts'
import type { PieceCacheShare } from './piece-cache.ts'

/** What happened to each piece in this run; shared by all threads. */
export interface WrittenPieces {
  /** One byte per piece: 1 when its data was handed to the kernel. Set after its checksum. */
  readonly isWritten: Uint8Array
  /** CRC-32 of its file data. */
  readonly checksums: Uint32Array
}

/** `workerData` of every worker. */
export interface DeployWorkerData {
  readonly cache: PieceCacheShare
  /** SHA-1 of all pieces, for those before the pack. */
  readonly pieceHashes: Uint8Array
  readonly manifest: { readonly firstPiece: number; readonly lengthBytes: number }
  /** It follows the manifest; 0 when there is none. */
  readonly signatureBytes: number
  readonly pack: { readonly firstPiece: number; readonly lengthBytes: number }
  readonly written: WrittenPieces
}

/** Result of task `readManifest`. */
export interface ManifestTables {
  readonly manifest: Manifest
  readonly table: EntryTable
}

/** Payload of task `open`, which every worker gets before the first piece of the pack. */
export interface OpenTree {
  readonly root: Uint8Array
  readonly table: EntryTable
  readonly chunks: Manifest['chunks']
  readonly pieceSha256: Uint8Array
  readonly isFinished: Uint8Array
  readonly losses: Uint32Array
  /** Paths of mount points below which owners and modes were mount options on the golden client, too. */
  readonly ownerless: readonly Uint8Array[]
  /** Leave out device nodes. */
  readonly withoutDevices: boolean
}

/** Tasks by name: their payload and result. */
export interface DeployTasks {
  readonly readSignature: { readonly payload: null; readonly result: Uint8Array }
  readonly hashManifest: { readonly payload: DigestAlgorithm; readonly result: Uint8Array }
  readonly readManifest: { readonly payload: null; readonly result: ManifestTables }
  readonly open: { readonly payload: OpenTree; readonly result: void }
  /** Takes pieces with the checksums of their data; returns those whose data is not on the target. */
  readonly findLost: {
    readonly payload: readonly (readonly [number, number])[]
    readonly result: readonly number[]
  }
  /** Takes away what is of another kind than the image has it, on a target that was finished in part. */
  readonly clearChanged: { readonly payload: null; readonly result: void }
  readonly createDirectories: { readonly payload: null; readonly result: void }
  readonly finishTree: { readonly payload: null; readonly result: void }
  readonly finishRoot: { readonly payload: null; readonly result: void }
}
