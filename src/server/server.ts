// The door of server: the image server (tracker, seeder of the whole repository, HTTP) and the plain
// seeder. Invariant: a new image is seeded and a removed one is not, without a restart.
import { lookup } from 'node:dns/promises'
import { listenError, messageOf, SiError, throwIfAborted } from '../core/core.ts'
import type { Repository } from '../repository/repository.ts'
import { createSwarm, type PeerSecurity } from '../swarm/swarm.ts'
import { createTracker } from '../tracker/tracker.ts'
import { createHttp, type HttpOptions } from './http.ts'
import type { ImageStatus } from './image-index.ts'
import type { Log } from './log.ts'
import { watchRepository } from './repository-watch.ts'
import { SeededImages, type SeededImage } from './seeded-images.ts'
import type { FastifyInstance } from 'fastify'

export type { ImageStatus } from './image-index.ts'
export { silentLog } from './log.ts'
export type { Log } from './log.ts'
export { startSeeder } from './seeder.ts'
export type { RunningSeeder, SeederOptions, SeedSource } from './seeder.ts'

export interface ServerOptions {
  readonly repository: Repository
  /** Offers `ca.pem` and `ca/crl.pem` of this folder over HTTP, where they are there. */
  readonly pkiDirectory?: string | undefined
  /** What machines boot from; served when `nodes` are. */
  readonly bootDirectory?: string | undefined
  /** Answers nodes of a cluster, and keeps what they tell; left out: it does not. */
  readonly nodes?: HttpOptions['nodes']
  readonly issue?: HttpOptions['issue']
  /** Address to listen on: `0.0.0.0`, `::`, `10.0.0.1`. */
  readonly host: string
  /** 0 means any free port, also for `peerPort`. */
  readonly httpPort: number
  readonly peerPort: number
  /** undefined: unlimited. */
  readonly uploadBytesPerSecond?: number | undefined
  /** Network threads. Default 1. */
  readonly lanes?: number
  /**
   * For servers behind address translation, which must keep the ports; its host is then the address
   * of the seeder, too. Left out: torrents name the address by which they were fetched.
   */
  readonly announceUrl?: string
  /** How often nodes announce; 15 000 to 30 000 suits a cluster. */
  readonly announceIntervalMs?: number
  /** Answer calls for peers on the local network, too (BEP 14). */
  readonly localDiscovery?: boolean
  /** TLS with nodes, for peers and HTTP. Left out: with nobody. */
  readonly security?: PeerSecurity | undefined
  readonly log: Log
}

export interface RunningServer {
  readonly httpPort: number
  readonly peerPort: number
  images(): readonly ImageStatus[]
  /** Looks into the repository now instead of at the next change. */
  rescan(): Promise<void>
  close(): Promise<void>
}

const ANNOUNCE_INTERVAL_MS = 20_000

/**
 * Serves until close() or until the signal fires. Throws ERR_SI_LISTEN when a port is taken or not
 * allowed, ERR_SI_ABORTED.
 */
export async function startServer(
  options: ServerOptions,
  signal: AbortSignal,
): Promise<RunningServer> {
  throwIfAborted(signal)
  const { repository, host, log } = options
  const { announceUrl, uploadBytesPerSecond, pkiDirectory, security, lanes = 1 } = options
  const seederAddress = announceUrl === undefined ? undefined : await addressOf(announceUrl)
  const closers: (() => void | Promise<void>)[] = []
  const close = createClose(closers)
  try {
    const onNote = (text: string) => log.info({}, text)
    const { peerPort, localDiscovery } = options
    const swarm = await createSwarm({
      ...{ host, port: peerPort, localDiscovery, role: 'server', onNote },
      ...{ uploadBytesPerSecond, lanes, security },
    })
    closers.push(() => swarm.close())
    const tracker = createTracker({
      intervalMs: options.announceIntervalMs ?? ANNOUNCE_INTERVAL_MS,
      isKnown: (infoHash) => seeded.get(infoHash) !== undefined,
      seederPort: (infoHash) => (seeded.get(infoHash) === undefined ? undefined : swarm.port),
      seederAddress,
    })
    closers.push(() => tracker.close())
    const onRemoved = tracker.forget
    const seeded = new SeededImages({ swarm, trackers: [], log, onRemoved })
    closers.push(() => seeded.close())
    const status = () =>
      seeded.list().map((image) => statusOf(image, tracker.peerCount(image.metainfo.infoHash)))
    const { nodes, issue } = options
    await nodes?.cluster.current() // a file with a fault is told now
    const folders = { pkiDirectory, bootDirectory: options.bootDirectory }
    const content = { repository, tracker, announceUrl, status, ...folders, nodes, issue }
    const http = createHttp({ ...content, security, onNote })
    closers.push(() => http.close())
    const httpPort = await listen(http, host, options.httpPort)
    const watch = await watchRepository(repository, (images) => seeded.update(images), { log })
    closers.push(() => watch.close())
    await watch.rescan()
    throwIfAborted(signal)
    signal.addEventListener('abort', () => void close(), { once: true })
    const rescan = () => watch.rescan()
    return { httpPort, peerPort: swarm.port, images: status, rescan, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The IP address of the host in a URL. Throws ERR_SI_USAGE. */
async function addressOf(url: string): Promise<string> {
  try {
    const { protocol, hostname } = new URL(url)
    if (protocol !== 'http:' && protocol !== 'https:') throw new Error('it is no http URL')
    return (await lookup(hostname.replace(/^\[|\]$/g, ''))).address
  } catch (error) {
    throw new SiError('ERR_SI_USAGE', `Cannot announce as ${url}: ${messageOf(error)}`, {
      hint: 'Give a URL whose host has an address, such as http://10.0.0.1:8080/announce',
      cause: error,
    })
  }
}

/** Closes in reverse order of opening, once. */
function createClose(closers: (() => void | Promise<void>)[]): () => Promise<void> {
  let closing: Promise<void> | undefined
  const closeAll = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  return () => (closing ??= closeAll())
}

async function listen(http: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await http.listen({ host, port })
  } catch (error) {
    throw listenError(error, { what: 'for HTTP', host, port })
  }
  const address = http.server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

function statusOf(seeded: SeededImage, peerCount: number): ImageStatus {
  const { image, metainfo, torrent } = seeded
  return {
    name: image.name,
    version: image.version,
    infoHash: metainfo.infoHash,
    sizeBytes: metainfo.lengthBytes,
    pieceLengthBytes: metainfo.pieceLengthBytes,
    torrent: `/images/${image.name}/${image.version}/img.torrent`,
    peerCount,
    uploadedBytes: torrent.stats().uploadedBytes,
  }
}
