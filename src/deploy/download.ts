// One image's torrent in the swarm with the workers that write it: first the manifest alone, then the
// pack. Invariant: close() ends workers, peers and kept pieces, in this order, whatever state they are in.
import { createSlab, createPiecePool, createSwarm } from '../swarm/swarm.ts'
import type { PeerSecurity, PiecePool, Swarm, Torrent } from '../swarm/swarm.ts'
import { imageFilesOf } from '../image/image.ts'
import { Bitfield, type Metainfo } from '../torrent/torrent.ts'
import { createPieceCache, type PieceCache } from './piece-cache.ts'
import { slabSlots } from './slab-slots.ts'
import type { DeployTasks, DeployWorkerData, WrittenPieces } from './worker-protocol.ts'

export interface DownloadOptions {
  readonly metainfo: Metainfo
  readonly trackers: readonly string[]
  readonly peers: readonly string[]
  readonly webSeeds: readonly string[]
  readonly host: string | undefined
  readonly port: number
  readonly rack: string | undefined
  readonly localDiscovery: boolean
  readonly threads: number
  readonly lanes: number
  readonly pieceCacheBytes: number
  readonly uploadBytesPerSecond: number | undefined
  readonly downloadBytesPerSecond: number | undefined
  readonly security: PeerSecurity | undefined
  readonly onNote: (text: string) => void
}

export interface Download {
  readonly torrent: Torrent
  readonly cache: PieceCache
  /** First piece of the pack; the pack reaches to the last piece. */
  readonly packFirstPiece: number
  /** Compressed bytes that the memory cannot keep. */
  readonly spillBytes: number
  readonly written: WrittenPieces
  /** Fetches the manifest and its signature; nothing is read of them yet. */
  fetchManifest(signal: AbortSignal): Promise<void>
  runTask<Name extends keyof DeployTasks>(
    name: Name,
    payload: DeployTasks[Name]['payload'],
  ): Promise<DeployTasks[Name]['result']>
  /** Runs a task on every worker. */
  broadcast<Name extends keyof DeployTasks>(
    name: Name,
    payload: DeployTasks[Name]['payload'],
  ): Promise<void>
  /** Idempotent. */
  close(): Promise<void>
}

const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './deploy-worker.ts' : './deploy-worker.js',
  import.meta.url,
)

export async function startDownload(options: DownloadOptions): Promise<Download> {
  const { metainfo } = options
  const { pieceLengthBytes, pieceCount, pieceHashes } = metainfo
  const files = imageFilesOf(metainfo)
  const packFirstPiece = files.pack.firstPiece
  const memorySlots = Math.min(
    pieceCount,
    Math.max(packFirstPiece, Math.floor(options.pieceCacheBytes / pieceLengthBytes)),
  )
  const cache = createPieceCache({ pieceLengthBytes, pieceCount, memorySlots })
  const written: WrittenPieces = {
    isWritten: new Uint8Array(new SharedArrayBuffer(pieceCount)),
    checksums: new Uint32Array(new SharedArrayBuffer(4 * pieceCount)),
  }
  const slab = createSlab({ slotBytes: pieceLengthBytes, slots: slabSlots(pieceLengthBytes) })
  const { manifest, signature, pack } = files
  const workerData: DeployWorkerData = {
    ...{ cache: cache.share, pieceHashes: Uint8Array.from(pieceHashes), written },
    ...{ manifest, pack, signatureBytes: signature?.lengthBytes ?? 0 },
  }
  const { threads } = options
  const pool = createPiecePool({ entry: WORKER, workerData, threads, slab })
  const joined = await join(options, pool, cache).catch(async (error: unknown) => {
    await pool.close()
    await cache.close()
    throw error
  })
  const { swarm, torrent } = joined
  let closed: Promise<void> | undefined
  const close = async () => {
    await swarm.close()
    await pool.close()
    await cache.close()
  }
  return {
    ...{ torrent, cache, packFirstPiece, written },
    spillBytes: (pieceCount - memorySlots) * pieceLengthBytes,
    async fetchManifest(signal) {
      const pieces = Array.from({ length: packFirstPiece }, (_, index) => index)
      torrent.want(pieces)
      await torrent.received(pieces, signal)
    },
    runTask: (name, payload) => pool.runTask(name, payload),
    broadcast: (name, payload) => pool.broadcast(name, payload),
    close: () => (closed ??= close()),
  }
}

async function join(
  options: DownloadOptions,
  pool: PiecePool,
  cache: PieceCache,
): Promise<{ readonly swarm: Swarm; readonly torrent: Torrent }> {
  const { metainfo, host, port, rack, localDiscovery, onNote, peers, webSeeds } = options
  const { uploadBytesPerSecond, downloadBytesPerSecond, lanes, security } = options
  const swarm = await createSwarm({
    ...(host === undefined ? {} : { host }),
    ...{
      port,
      rack,
      localDiscovery,
      role: 'node',
      uploadBytesPerSecond,
      downloadBytesPerSecond,
      lanes,
      security,
      onNote,
    },
  })
  const trackers = [...metainfo.trackers, ...options.trackers.map((url) => [url])]
  const have = new Bitfield(metainfo.pieceCount)
  const torrent = swarm.add({ metainfo, trackers, peers, webSeeds, store: cache, have, pool })
  return { swarm, torrent }
}
