// The programs of the lanes bench: `lanes-peer.ts seed|get TORRENT DIRECTORY --lanes N …`, until SIGTERM.
// Both open as many swarms as are wished. `seed` prints `listening PORT PORT …`; `get` downloads from all
// `--peer`s with each of its swarms and prints `first` and `complete` with the bytes until then. With
// --discard pieces count as good unseen: what remains is the network.
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { dirname, resolve as toPath } from 'node:path'
import { parseArgs } from 'node:util'
import {
  createPiecePool,
  createSlab,
  createSwarm,
  openFileStore,
  type PiecePool,
  type Slab,
  type Swarm,
  type Torrent,
} from '../../src/swarm/swarm.ts'
import { Bitfield, parseMetainfo } from '../../src/torrent/torrent.ts'
import type { EngineWorkerData } from './engine-worker.ts'

const SLAB_BYTES = 32 * 2 ** 20
const HOST = '127.0.0.1'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    lanes: { type: 'string', default: '1' },
    swarms: { type: 'string', default: '1' },
    peer: { type: 'string', multiple: true, default: [] },
    discard: { type: 'boolean', default: false },
  },
})
const [role = '', torrentPath = '', directory = ''] = positionals
const lanes = Number(values.lanes)
const metainfo = parseMetainfo(await readFile(torrentPath))
const { pieceLengthBytes, pieceHashes, pieceCount } = metainfo
const folder = toPath(directory, metainfo.name)
if (role === 'seed') await seed()
else await get()

async function seed(): Promise<void> {
  const store = await openFileStore(metainfo, folder)
  const swarms = await Promise.all(
    Array.from({ length: Number(values.swarms) }, () =>
      createSwarm({ host: HOST, port: 0, role: 'server', lanes }),
    ),
  )
  for (const swarm of swarms) {
    swarm.add({ metainfo, trackers: [], store, have: Bitfield.full(pieceCount), pool: null })
  }
  process.on('SIGTERM', () => {
    void Promise.all(swarms.map((swarm) => swarm.close())).then(() => store.close())
  })
  console.log('listening', ...swarms.map(({ port }) => port))
}

async function get(): Promise<void> {
  const members = await Promise.all(Array.from({ length: Number(values.swarms) }, join))
  process.on('SIGTERM', () => {
    for (const { swarm, pool } of members) void swarm.close().then(() => pool.close())
  })
  const torrents = members.map(({ torrent }) => torrent)
  const pieces = Array.from({ length: pieceCount }, (_, index) => index)
  const bytes = () => torrents.reduce((sum, torrent) => sum + torrent.stats().downloadedBytes, 0)
  const firsts = torrents.map(
    (torrent) => new Promise<void>((resolve) => void torrent.onPiece(() => resolve())),
  )
  for (const torrent of torrents) torrent.want(pieces)
  await Promise.all(firsts)
  console.log('first', bytes())
  await Promise.all(torrents.map((torrent) => torrent.received(pieces)))
  console.log('complete', bytes())
}

async function join(): Promise<{ swarm: Swarm; torrent: Torrent; pool: PiecePool }> {
  const slots = Math.max(4, Math.floor(SLAB_BYTES / pieceLengthBytes))
  const slab = createSlab({ slotBytes: pieceLengthBytes, slots })
  const pool = values.discard ? discardingPool(slab) : await writingPool(slab)
  const none = () => Promise.resolve(undefined)
  const store = {
    locate: none,
    read: () => Promise.reject(new Error('Nobody asks')),
    close: async () => {},
  }
  const swarm = await createSwarm({ host: HOST, port: 0, role: 'node', lanes })
  const have = new Bitfield(pieceCount)
  const torrent = swarm.add({ metainfo, trackers: [], peers: values.peer, store, have, pool })
  return { swarm, torrent, pool }
}

function discardingPool(slab: Slab): PiecePool {
  const unused = () => Promise.reject(new Error('There are no threads'))
  return {
    slab,
    checkPiece: () => Promise.resolve('ok'),
    ...{ runTask: unused, broadcast: unused },
    close: () => Promise.resolve(),
  }
}

/** Checks and writes as the engine bench does. */
async function writingPool(slab: Slab): Promise<PiecePool> {
  const path = toPath(folder, ...(metainfo.files[0]?.path ?? []))
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, '')
  await truncate(path, metainfo.lengthBytes)
  const workerData: EngineWorkerData = { path, pieceLengthBytes, pieceHashes }
  const entry = new URL('engine-worker.ts', import.meta.url)
  const pool = createPiecePool({ entry, workerData, threads: 2, slab })
  await pool.broadcast('start', null)
  return pool
}
