// si-seed: any node offers complete images to the swarm.
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { SiError } from '../core/core.ts'
import type { SeedSource } from '../server/server.ts'
import {
  collectUrl,
  durationOption,
  jsonOption,
  lanesOption,
  localDiscoveryOption,
  MOST_SEEDING_LANES,
  portOption,
  rackOption,
  repositoryOption,
  uploadLimitOption,
} from './arguments.ts'
import { createCommandLog, untilInterrupted } from './command-log.ts'
import { createCommand } from './command.ts'
import type { Io } from './io.ts'
import { securityFrom, tlsOptions, type TlsFlags } from './tls-arguments.ts'
import { trustFrom, trustOptions, withOptions, type TrustFlags } from './trust-arguments.ts'
import type { Command } from 'commander'

interface SeedFlags extends TrustFlags, TlsFlags {
  readonly repository: string
  readonly torrent?: string
  readonly data?: string
  readonly tracker: readonly string[]
  readonly host: string
  readonly port: number
  readonly uploadLimit?: number
  readonly rack?: string
  readonly localDiscovery: boolean
  readonly for: number
  readonly lanes: number
  readonly json?: true
}

export function createSeedCommand(io: Io): Command {
  const command = createCommand({
    name: 'seed',
    summary: 'Seed images from this machine, until Ctrl-C',
    examples: [
      'si-seed golden01 --tracker http://server:8080/announce   from the repository',
      'si-seed --torrent img.torrent --data /srv/golden01       files that lie elsewhere',
    ],
    exitCodes: [0, 1, 2, 10, 12, 13],
  })
    .argument('[image...]', 'images of the repository, NAME or NAME/VERSION')
    .addOption(repositoryOption())
    .option('-t, --torrent <file>', 'a torrent instead of an image of the repository')
    .option('-d, --data <dir>', "the folder that holds the torrent's files")
    .option('--tracker <url>', "tracker besides the torrent's own", collectUrl, [])
    .option('--host <address>', 'address to listen on', '0.0.0.0')
    .addOption(portOption('--port', 'port for peers, 0 for any', 'SI_PEER_PORT', 0))
    .addOption(rackOption())
    .addOption(localDiscoveryOption())
    .addOption(
      durationOption('--for <time>', 'stop after this time', 'SI_SEED_FOR').default(
        Infinity,
        'never',
      ),
    )
    .addOption(uploadLimitOption())
    .addOption(lanesOption(MOST_SEEDING_LANES))
    .addOption(jsonOption())
  return withOptions(command, [...trustOptions(), ...tlsOptions('node')]).action(
    (images: readonly string[], flags: SeedFlags) => runSeed(images, flags, io),
  )
}

async function runSeed(images: readonly string[], flags: SeedFlags, io: Io): Promise<void> {
  const { startSeeder } = await import('../server/server.ts')
  const log = createCommandLog(io, { command: 'si-seed', json: flags.json === true })
  const sources = await toSources(images, flags)
  await warnWithoutTracker(sources, flags, (message) => log.warn({}, message))
  const { host, port: peerPort, rack, localDiscovery, lanes, tracker: trackers } = flags
  const trust = await trustFrom(flags)
  const onNote = (text: string) => log.info({}, text)
  const security = await securityFrom(flags, { holder: 'node', onNote })
  const place = { trust, security, host, peerPort, rack, localDiscovery }
  const seeder = await startSeeder(
    { ...place, sources, trackers, uploadBytesPerSecond: flags.uploadLimit, lanes, log },
    io.signal,
  )
  log.info({ peerPort: seeder.peerPort }, `seeding ${sources.length} image(s)`)
  if (flags.for === Infinity) await untilInterrupted(io.signal)
  else await delay(flags.for, undefined, { signal: io.signal }).catch(() => {})
  await seeder.close()
  security?.close()
}

async function toSources(
  images: readonly string[],
  flags: SeedFlags,
): Promise<readonly SeedSource[]> {
  const { torrent, data } = flags
  if (torrent !== undefined && data !== undefined && images.length === 0) {
    return [{ torrentPath: torrent, directory: data }]
  }
  if (torrent !== undefined || data !== undefined || images.length === 0) {
    throw new SiError('ERR_SI_USAGE', 'Name either images or both --torrent FILE and --data DIR', {
      hint: 'Run si-seed --help for examples',
    })
  }
  const { openRepository, parseImageName, parseImageVersion } =
    await import('../repository/repository.ts')
  const repository = await openRepository(flags.repository)
  return Promise.all(
    images.map(async (image) => {
      const [name = '', version] = image.split('/')
      return repository.open(
        parseImageName(name),
        version === undefined ? undefined : parseImageVersion(version),
      )
    }),
  )
}

/** A seeder that no tracker knows is found by few or by nobody: say so instead of waiting in silence. */
async function warnWithoutTracker(
  sources: readonly SeedSource[],
  flags: SeedFlags,
  warn: (message: string) => void,
): Promise<void> {
  if (flags.tracker.length > 0) return
  const { parseMetainfo } = await import('../torrent/torrent.ts')
  for (const { torrentPath } of sources) {
    const { trackers, isPrivate } = parseMetainfo(await readFile(torrentPath))
    if (trackers.flat().length > 0) continue
    const isCalled = flags.localDiscovery && !isPrivate
    const finders = isCalled ? 'only the local network finds' : 'nobody finds'
    warn(`${torrentPath} names no tracker, so ${finders} this seeder; add --tracker URL`)
  }
}
