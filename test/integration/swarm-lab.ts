// A swarm on loopback for tests: a torrent over seeded noise, seeders, getters. Everything that was
// opened is closed by `await using`.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createPiecePool,
  createSlab,
  createSwarm,
  openFileStore,
  type PeerSecurity,
  type PieceStore,
  type Slab,
  type Swarm,
  type SwarmOptions,
  type Torrent,
} from '../../src/swarm/swarm.ts'
import {
  Bitfield,
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
  type Metainfo,
} from '../../src/torrent/torrent.ts'
import { createTracker } from '../../src/tracker/tracker.ts'
import type { TestWorkerData } from './swarm-worker.ts'

export { within } from '../lab/within.ts'

export interface Lab extends AsyncDisposable {
  readonly directory: string
  readonly metainfo: Metainfo
  readonly torrentBytes: Buffer
  readonly content: Buffer
  /** Holds `payload.bin` complete. */
  readonly seedDirectory: string
  /** A seeder of everything. */
  seed(options?: Partial<SeedOptions>): Promise<Member>
  /** A downloader of everything. */
  get(options?: Partial<GetOptions>): Promise<Getter>
}

export interface SeedOptions extends Pick<SwarmOptions, 'role' | 'clock'> {
  readonly rack: string
  readonly store: (store: PieceStore) => PieceStore
  readonly trackers: readonly (readonly string[])[]
  readonly peers: readonly string[]
  readonly host: string
  readonly port: number
  readonly uploadBytesPerSecond: number
  readonly downloadBytesPerSecond: number
  /** Threads for sockets. */
  readonly lanes: number
  /** The first of them, the network thread, has a connection already: who comes next lives on another. */
  readonly isFirstLaneTaken: boolean
  readonly security: PeerSecurity
}

export interface GetOptions extends SeedOptions {
  readonly slots: number
  readonly threads: number
  readonly worker: Partial<TestWorkerData>
  /** Pieces that are in its file already. */
  readonly have: Bitfield
  readonly webSeeds: readonly string[]
  readonly wanted: readonly number[]
}

export interface Member extends AsyncDisposable {
  readonly swarm: Swarm
  readonly torrent: Torrent
  readonly address: string
  readonly notes: string[]
}

export interface Getter extends Member {
  readonly slab: Slab
  readonly done: Promise<void>
  file(): Promise<Buffer>
}

/** For stores that are read. */
export const nowhere: PieceStore['locate'] = () => Promise.resolve(undefined)

/** Noise that is the same every time. */
export function noise(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 0, counter = 0; at < sizeBytes; counter++) {
    at += createHash('sha512').update(`${seed}.${counter}`).digest().copy(bytes, at)
  }
  return bytes
}

export interface TorrentShape {
  readonly name?: string
  readonly isPrivate?: boolean
  /** Where the content is cut into files; one file `payload.bin` when left out. */
  readonly files?: readonly LabFile[]
}

export interface LabFile {
  readonly path: readonly string[]
  readonly lengthBytes: number
  readonly isPad?: boolean
}

export function torrentOf(
  content: Buffer,
  pieceLengthBytes: number,
  { name = 'payload', isPrivate = false, files = oneFile(content.length) }: TorrentShape = {},
): Buffer {
  const hashes: Buffer[] = []
  for (let at = 0; at < content.length; at += pieceLengthBytes) {
    hashes.push(
      createHash('sha1')
        .update(content.subarray(at, at + pieceLengthBytes))
        .digest(),
    )
  }
  const infoBytes = encodeInfo({
    name,
    pieceLengthBytes,
    files,
    pieceHashes: Buffer.concat(hashes),
    isPrivate,
  })
  return encodeMetainfo({ infoBytes })
}

function oneFile(lengthBytes: number): LabFile[] {
  return [{ path: ['payload.bin'], lengthBytes }]
}

/** Pads become zeros in `content`, and no files below `directory`. */
async function writeFiles(directory: string, content: Buffer, files: readonly LabFile[]) {
  let at = 0
  for (const { path, lengthBytes, isPad = false } of files) {
    const part = content.subarray(at, (at += lengthBytes))
    if (isPad) part.fill(0)
    await mkdir(join(directory, ...path.slice(0, -1)), { recursive: true })
    if (!isPad) await writeFile(join(directory, ...path), part)
  }
}

export async function createLab(
  options: TorrentShape & { readonly sizeBytes: number; readonly pieceLengthBytes: number },
): Promise<Lab> {
  const directory = await mkdtemp(join(tmpdir(), 'si-swarm-'))
  const content = noise(options.sizeBytes)
  const { name = 'payload', files = oneFile(content.length) } = options
  const seedDirectory = join(directory, name)
  await writeFiles(seedDirectory, content, files)
  const torrentBytes = torrentOf(content, options.pieceLengthBytes, options)
  const metainfo = parseMetainfo(torrentBytes)
  await writeFile(join(directory, 'payload.torrent'), torrentBytes)
  let count = 0
  return {
    ...{ directory, metainfo, torrentBytes, content, seedDirectory },
    seed: (seedOptions = {}) => startSeeder({ metainfo, directory: seedDirectory, ...seedOptions }),
    get: (getOptions = {}) =>
      startGetter({ metainfo, content, path: join(directory, `node${count++}`), ...getOptions }),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

/** A seeder of what lies in `directory`. */
export async function startSeeder(
  options: Partial<SeedOptions> & { readonly metainfo: Metainfo; readonly directory: string },
): Promise<Member> {
  const notes: string[] = []
  const swarm = await createSwarm({
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    lanes: options.lanes ?? 1,
    security: options.security,
    role: options.role ?? 'server',
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    uploadBytesPerSecond: options.uploadBytesPerSecond,
    onNote: (text) => notes.push(text),
  })
  const occupant = options.isFirstLaneTaken
    ? await occupyFirstLane(swarm, options.host ?? '127.0.0.1')
    : undefined
  const files = await openFileStore(options.metainfo, options.directory)
  const torrent = swarm.add({
    metainfo: options.metainfo,
    trackers: options.trackers ?? [],
    peers: options.peers ?? [],
    store: options.store?.(files) ?? files,
    have: Bitfield.full(options.metainfo.pieceCount),
    pool: null,
  })
  return {
    ...{ swarm, torrent, notes, address: `127.0.0.1:${swarm.port}` },
    async [Symbol.asyncDispose]() {
      occupant?.destroy()
      await swarm.close()
      await files.close()
    },
  }
}

/** Calls a swarm and says nothing. */
async function occupyFirstLane({ port }: Swarm, host: string): Promise<Socket> {
  const socket = connect({ host, port })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A downloader into the file `path`, which holds nothing but the torrent's bytes, pads included. */
export async function startGetter(
  options: Partial<GetOptions> & {
    readonly metainfo: Metainfo
    readonly content: Buffer
    readonly path: string
  },
): Promise<Getter> {
  const { metainfo, path } = options
  const notes: string[] = []
  const have = options.have ?? new Bitfield(metainfo.pieceCount)
  await writePieces(path, options, have)
  const slab = createSlab({ slotBytes: metainfo.pieceLengthBytes, slots: options.slots ?? 16 })
  const workerData: TestWorkerData = {
    ...{ path, pieceLengthBytes: metainfo.pieceLengthBytes, pieceHashes: metainfo.pieceHashes },
    ...{ delayMs: 0, brokenPiece: -1, fatalPiece: -1, ...options.worker },
  }
  const entry = new URL('swarm-worker.ts', import.meta.url)
  const pool = createPiecePool({ entry, workerData, threads: options.threads ?? 1, slab })
  const handle = await open(path, 'r')
  const store: PieceStore = {
    locate: nowhere,
    async read(pieceIndex, offset, into) {
      await handle.read(into, 0, into.length, pieceIndex * metainfo.pieceLengthBytes + offset)
    },
    close: () => handle.close(),
  }
  const swarm = await createSwarm({
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    lanes: options.lanes ?? 1,
    security: options.security,
    rack: options.rack,
    role: 'node',
    uploadBytesPerSecond: options.uploadBytesPerSecond,
    downloadBytesPerSecond: options.downloadBytesPerSecond,
    onNote: (text) => notes.push(text),
  })
  const torrent = swarm.add({
    metainfo,
    trackers: options.trackers ?? [],
    peers: options.peers ?? [],
    store: options.store?.(store) ?? store,
    have,
    webSeeds: options.webSeeds ?? [],
    pool,
  })
  const all = Array.from({ length: metainfo.pieceCount }, (_, index) => index)
  const pieces = options.wanted ?? all
  torrent.want(pieces)
  const done = torrent.received(pieces)
  done.catch(() => {})
  return {
    ...{ swarm, torrent, slab, done, notes, address: `127.0.0.1:${swarm.port}` },
    file: () => readFile(path),
    async [Symbol.asyncDispose]() {
      await swarm.close()
      await pool.close()
      await handle.close()
    },
  }
}

/** The file as it was left by a download that had got these pieces. */
async function writePieces(
  path: string,
  { metainfo, content }: { readonly metainfo: Metainfo; readonly content: Buffer },
  pieces: Bitfield,
): Promise<void> {
  const { pieceLengthBytes } = metainfo
  await using file = await open(path, 'w')
  for (const index of pieces.indexes()) {
    const startBytes = index * pieceLengthBytes
    const piece = content.subarray(startBytes, startBytes + pieceLengthBytes)
    await file.write(piece, 0, piece.length, startBytes)
  }
}

/** Waits until `condition` holds; fails after `timeoutMs` with what was waited for. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export interface TestTracker extends AsyncDisposable {
  readonly url: string
  readonly port: number
}

/** Our tracker on loopback; a port of 0 is any. */
export async function startTracker(port = 0, host = '127.0.0.1'): Promise<TestTracker> {
  const tracker = createTracker({ intervalMs: 2000, isKnown: () => true })
  const server = createServer((request, response) => tracker.handle(request, response))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  const boundPort = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://${host}:${boundPort}/announce`,
    port: boundPort,
    async [Symbol.asyncDispose]() {
      tracker.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
