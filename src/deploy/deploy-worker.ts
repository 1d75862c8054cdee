// A piece worker of a deployment: verifies, keeps and decodes pieces and writes their bytes into the
// final files; also makes and finishes the tree. Runs in a thread of its own, all of it synchronous.
// Invariant: no byte is written to the target before its piece matched the manifest's SHA-256.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { workerData } from 'node:worker_threads'
import { digestOf, errnoOf, SiError } from '../core/core.ts'
import {
  decodePiece,
  readManifest,
  tarRangeOfPiece,
  verifyPiece,
  type ManifestEntry,
} from '../image/image.ts'
import { servePieces } from '../swarm/swarm.ts'
import { countLoss } from './attribute-loss.ts'
import { clearChanged } from './clear-changed.ts'
import { dataChecksum } from './data-checksum.ts'
import type { NoteLoss } from './entry-metadata.ts'
import { entryPath } from './entry-table.ts'
import { EntryTableBuilder } from './entry-table-builder.ts'
import { JOURNAL_NAME } from './journal.ts'
import { readPieceSync, SPILL_NAME, storePiece } from './piece-cache.ts'
import { targetError } from './target-error.ts'
import { createTargetWriter, type TargetWriter } from './target-writer.ts'
import {
  createDirectories,
  finishDirectories,
  finishObjects,
  finishRoot,
  type FinishOptions,
} from './tree.ts'
import type { DeployTasks, DeployWorkerData, ManifestTables, OpenTree } from './worker-protocol.ts'

const SHA1_BYTES = 20
const SLASH = 0x2f
const { cache, pieceHashes, manifest, signatureBytes, pack, written } =
  workerData as DeployWorkerData

interface OpenedTree extends FinishOptions {
  readonly chunks: OpenTree['chunks']
  readonly pieceSha256: Uint8Array
  readonly writer: TargetWriter
}

const RESERVED_PATHS = [JOURNAL_NAME, SPILL_NAME].map((name) => Buffer.from(name))

let tree: OpenedTree | undefined

servePieces({
  piece: (index, bytes) =>
    index < pack.firstPiece ? acceptBefore(index, bytes) : acceptPack(index, bytes),
  tasks: {
    readSignature,
    hashManifest: (payload) => hashManifest(payload as DeployTasks['hashManifest']['payload']),
    readManifest: readTables,
    open: (payload) => {
      tree = openTree(payload as OpenTree)
    },
    findLost: (payload) => findLost(payload as DeployTasks['findLost']['payload']),
    clearChanged: () => {
      const { root, table } = opened()
      clearChanged(root, table)
    },
    createDirectories: () => {
      const { root, table } = opened()
      createDirectories(root, table)
    },
    finishTree: () => {
      finishObjects(opened())
      finishDirectories(opened())
    },
    finishRoot: () => finishRoot(opened()),
  },
})

/** A piece of the manifest: nothing but the torrent vouches for it yet. */
function acceptBefore(index: number, bytes: Uint8Array): 'ok' | 'bad' {
  const expected = pieceHashes.subarray(index * SHA1_BYTES, (index + 1) * SHA1_BYTES)
  if (!digestOf('sha1', bytes).equals(expected)) return 'bad'
  storePiece(cache, index, bytes)
  return 'ok'
}

function acceptPack(index: number, bytes: Uint8Array): 'ok' | 'bad' {
  const { chunks, pieceSha256, writer } = opened()
  const packPiece = index - pack.firstPiece
  if (!verifyPiece(bytes, packPiece, pieceSha256)) return 'bad'
  keepPiece(index, bytes)
  try {
    decodePiece(bytes, packPiece, chunks, writer.write)
  } finally {
    written.checksums[index] = writer.flush()
  }
  Atomics.store(written.isWritten, index, 1)
  return 'ok'
}

function findLost(pieces: DeployTasks['findLost']['payload']): readonly number[] {
  const { root, table, chunks } = opened()
  const isLost = ([index, checksum]: readonly [number, number]) =>
    dataChecksum(root, table, tarRangeOfPiece(chunks, index - pack.firstPiece)) !== checksum
  return pieces.filter(isLost).map(([index]) => index)
}

/** What the memory cannot keep goes to the target, which may be full. */
function keepPiece(index: number, bytes: Uint8Array): void {
  try {
    storePiece(cache, index, bytes)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    throw targetError('the compressed pieces', error)
  }
}

async function readTables(): Promise<ManifestTables> {
  const builder = new EntryTableBuilder()
  const addEntry = (entry: ManifestEntry) => {
    const reserved = RESERVED_PATHS.find((path) => path.equals(entry.path))
    if (reserved !== undefined) throw reservedName(reserved)
    builder.add(entry)
  }
  const { pieceLengthBytes } = cache
  const torrent = { pieceLengthBytes, packBytes: pack.lengthBytes }
  const tables = await readManifest(
    Readable.from(headBytes(0, manifest.lengthBytes)),
    addEntry,
    torrent,
  )
  return { manifest: tables, table: builder.build() }
}

/** A range of what lies before the pack, piece by piece. */
function* headBytes(offset: number, lengthBytes: number): Generator<Uint8Array> {
  const { pieceLengthBytes } = cache
  const end = offset + lengthBytes
  for (let at = offset; at < end;) {
    const piece = Math.floor(at / pieceLengthBytes)
    const start = piece * pieceLengthBytes
    const bytes = Buffer.alloc(Math.min(end - start, pieceLengthBytes))
    readPieceSync(cache, piece, bytes)
    yield bytes.subarray(at - start)
    at = start + bytes.length
  }
}

function readSignature(): Uint8Array {
  return Uint8Array.from(Buffer.concat([...headBytes(manifest.lengthBytes, signatureBytes)]))
}

function hashManifest(algorithm: string): Uint8Array {
  const hash = createHash(algorithm)
  for (const bytes of headBytes(0, manifest.lengthBytes)) hash.update(bytes)
  return Uint8Array.from(hash.digest())
}

function openTree(payload: OpenTree): OpenedTree {
  const { table, isFinished, losses, chunks, pieceSha256, withoutDevices } = payload
  const ownerless = payload.ownerless.map((path) => Buffer.from([...path, SLASH]))
  const noteLoss: NoteLoss = (loss, entry) => {
    const path = Buffer.from([...entryPath(table, entry), SLASH]) // the mount point itself counts, too
    const isKept = ownerless.some((prefix) => prefix.equals(path.subarray(0, prefix.length)))
    if (!isKept) countLoss(losses, loss)
  }
  const common = { root: Buffer.from(payload.root), table, isFinished, noteLoss, withoutDevices }
  return { ...common, chunks, pieceSha256, writer: createTargetWriter(common) }
}

function opened(): OpenedTree {
  if (tree === undefined) throw new SiError('ERR_SI_INTERNAL', 'A piece came before its target')
  return tree
}

function reservedName(path: Buffer): SiError {
  const message = `Cannot deploy: the image holds ${path.toString()}, it was captured from an unfinished target`
  return new SiError('ERR_SI_UNSAFE_PATH', message, { hint: 'Capture the image again' })
}
