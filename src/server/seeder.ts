// What si-seed runs: images that lie in folders are offered to the swarms that their trackers know.
// Invariant: nothing is written, nothing is downloaded, and nothing is offered that this machine does not
// trust itself.
import { readFile } from 'node:fs/promises'
import { throwIfAborted } from '../core/core.ts'
import type { Trust } from '../pki/pki.ts'
import { createSwarm, type PeerSecurity, type TorrentStats } from '../swarm/swarm.ts'
import { parseMetainfo, type Metainfo } from '../torrent/torrent.ts'
import { checkFiles } from './check-files.ts'
import type { Log } from './log.ts'
import { seed, type Seeding } from './seeded-images.ts'

export interface SeedSource {
  readonly torrentPath: string
  /** Where the torrent's files lie; in a repository the folder of the version. */
  readonly directory: string
}

export interface SeederOptions {
  readonly sources: readonly SeedSource[]
  readonly host: string
  /** 0 means any free port. */
  readonly peerPort: number
  /** Name of the rack this machine stands in. */
  readonly rack?: string | undefined
  /** Answer calls for peers on the local network, too (BEP 14). */
  readonly localDiscovery?: boolean
  /** Whose signature counts. */
  readonly trust: Trust
  /** Announced to besides the trackers that the torrents name. */
  readonly trackers: readonly string[]
  /** undefined: unlimited. */
  readonly uploadBytesPerSecond?: number | undefined
  /** Network threads. Default 1. */
  readonly lanes?: number
  /** TLS with everybody. Left out: with nobody. */
  readonly security?: PeerSecurity | undefined
  readonly log: Log
}

export interface RunningSeeder {
  readonly peerPort: number
  torrents(): readonly { readonly metainfo: Metainfo; readonly stats: TorrentStats }[]
  close(): Promise<void>
}

/**
 * Seeds until close() or until the signal fires. Throws ERR_SI_LISTEN, ERR_SI_UNTRUSTED, ERR_SI_TORRENT_FORMAT,
 * ERR_SI_INTEGRITY when a file is missing or has a wrong size.
 */
export async function startSeeder(
  options: SeederOptions,
  signal: AbortSignal,
): Promise<RunningSeeder> {
  throwIfAborted(signal)
  const { host, peerPort, rack, localDiscovery, trackers, log } = options
  const { uploadBytesPerSecond, security, lanes = 1 } = options
  const onNote = (text: string) => log.info({}, text)
  const swarm = await createSwarm({
    ...{ host, port: peerPort, rack, localDiscovery, role: 'node', onNote },
    ...{ uploadBytesPerSecond, lanes, security },
  })
  let closing: Promise<void> | undefined
  const closeAll = async () => {
    for (const { close } of seeded) await close()
    await swarm.close()
  }
  const close = () => (closing ??= closeAll())
  const seeded: Seeding[] = []
  try {
    for (const { torrentPath, directory } of options.sources) {
      const metainfo = parseMetainfo(await readFile(torrentPath))
      const verdict = await checkFiles(metainfo, directory, options.trust)
      verdict.notes.forEach((note) => log.warn({}, note))
      seeded.push(await seed(swarm, metainfo, { directory, trackers }))
      log.info({ image: metainfo.name, infoHash: metainfo.infoHash }, 'seeding')
    }
    throwIfAborted(signal)
    signal.addEventListener('abort', () => void close(), { once: true })
    return {
      peerPort: swarm.port,
      torrents: () => seeded.map(({ metainfo, torrent }) => ({ metainfo, stats: torrent.stats() })),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
