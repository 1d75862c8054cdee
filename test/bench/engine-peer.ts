// Our engine as one program: `engine-peer.ts seed|get TORRENT DIRECTORY [--lanes N] [--tls DIR]` seeds or downloads a
// torrent of one file with what si-deploy and si-server use, until SIGTERM. Prints `listening PORT` and
// `complete`. The certificates are made by the first seeder; the tracker is a plain one all the same.
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  createPiecePool,
  createSlab,
  createSwarm,
  openFileStore,
  type PeerSecurity,
} from '../../src/swarm/swarm.ts'
import { Bitfield, parseMetainfo } from '../../src/torrent/torrent.ts'
import { makeSite, openCredentials, PEER_ROLES } from '../../src/pki/pki.ts'
import type { EngineWorkerData } from './engine-worker.ts'

/** As si-deploy: threads and lanes by cores, a slab of 32 MiB and at least 4 slots. */
const MOST_THREADS = 4
const MOST_LANES = 4
const CORES_PER_LANE = 4
const SLAB_BYTES = 32 * 2 ** 20
const MIN_SLOTS = 4

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    lanes: { type: 'string', default: String(lanesByCores()) },
    tls: { type: 'string' },
  },
})
const [role = '', torrentPath = '', directory = ''] = positionals
const security = values.tls === undefined ? undefined : await openSecurity(values.tls)
const network = { port: 0, lanes: Number(values.lanes), security }

const metainfo = parseMetainfo(await readFile(torrentPath))
const { pieceLengthBytes, pieceHashes, pieceCount, trackers } = metainfo
const folder = join(directory, metainfo.name)
const path = join(folder, ...(metainfo.files[0]?.path ?? []))

if (role === 'seed') {
  const swarm = await createSwarm({ ...network, role: 'server' })
  const store = await openFileStore(metainfo, folder)
  swarm.add({ metainfo, trackers, store, have: Bitfield.full(pieceCount), pool: null })
  console.log('listening', swarm.port)
  console.log('complete')
  process.on('SIGTERM', () => void swarm.close().then(() => store.close()))
} else {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, '')
  await truncate(path, metainfo.lengthBytes)
  const workerData: EngineWorkerData = { path, pieceLengthBytes, pieceHashes }
  const entry = new URL('engine-worker.ts', import.meta.url)
  const slots = Math.max(MIN_SLOTS, Math.floor(SLAB_BYTES / pieceLengthBytes))
  const slab = createSlab({ slotBytes: pieceLengthBytes, slots })
  const threads = Math.min(MOST_THREADS, availableParallelism())
  const pool = createPiecePool({ entry, workerData, threads, slab })
  await pool.broadcast('start', null) // threads that start are no part of a transfer
  const store = await openFileStore(metainfo, folder)
  const swarm = await createSwarm({ ...network, role: 'node' })
  const have = new Bitfield(pieceCount)
  const torrent = swarm.add({ metainfo, trackers, store, have, pool })
  const pieces = Array.from({ length: pieceCount }, (_, index) => index)
  torrent.want(pieces)
  console.log('listening', swarm.port)
  process.on('SIGTERM', () => void swarm.close().then(() => pool.close()))
  await torrent.received(pieces)
  console.log('complete')
}

/** Both sides show the certificate of the same server: only the cost counts here. */
async function openSecurity(directory: string): Promise<PeerSecurity> {
  await makeSite({
    ...{ directory, hostName: 'bench', dnsNames: [], addresses: [], keyType: 'p256' },
    ...{ authorityDays: 1, passphraseFile: undefined },
  })
  const credentials = await openCredentials(
    {
      certificateFile: join(directory, 'server.pem'),
      keyFile: join(directory, 'server.key'),
      passphraseFile: undefined,
      trustFiles: [join(directory, 'ca.pem')],
      crlFiles: [],
    },
    { roles: PEER_ROLES },
  )
  return { credentials, allowsPlain: true }
}

function lanesByCores(): number {
  return Math.max(1, Math.min(MOST_LANES, Math.floor(availableParallelism() / CORES_PER_LANE)))
}
