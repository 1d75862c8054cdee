// si-server: tracker, seeder of every image in the repository, and HTTP, in the foreground.
import { join } from 'node:path'
import { messageOf, SiError } from '../core/core.ts'
import {
  jsonOption,
  lanesOption,
  localDiscoveryOption,
  MOST_SEEDING_LANES,
  portOption,
  repositoryOption,
  uploadLimitOption,
} from './arguments.ts'
import { passphraseFileOption } from './ca.ts'
import { clusterOption } from './cluster-arguments.ts'
import { createCommandLog, untilInterrupted } from './command-log.ts'
import { createCommand } from './command.ts'
import { bootOption } from './mkautoinstall.ts'
import { nodesDirectory, nodesOption } from './netboot.ts'
import { createServerInit } from './server-init.ts'
import { securityFrom, tlsOptions, type TlsFlags } from './tls-arguments.ts'
import { authorityOptions, pkiOption, signerFrom, withOptions } from './trust-arguments.ts'
import type { Io } from './io.ts'
import type { Log, ServerOptions } from '../server/server.ts'
import { Option, type Command } from 'commander'

interface ServerFlags extends TlsFlags {
  readonly repository: string
  readonly boot: string
  readonly cluster: string
  readonly nodes?: string
  readonly host: string
  readonly httpPort: number
  readonly peerPort: number
  readonly announceUrl?: string
  readonly localDiscovery: boolean
  readonly uploadLimit?: number
  readonly lanes: number
  readonly issueToNodes?: true
  readonly passphraseFile?: string
  readonly json?: true
}

export function createServerCommand(io: Io): Command {
  const command = createCommand({
    name: 'server',
    summary: 'Serve the repository: tracker, seeder and HTTP in one process, until Ctrl-C',
    examples: [
      'si-server init                                  once: so that images are signed',
      'si-server                                       all images of /var/lib/swarmimager',
      'si-server --repository /srv/images --http-port 80',
      'si-server --tls                                 only for who has a certificate of our authority',
      'si-server --tls --issue-to-nodes                and machines that are to be installed get one',
    ],
    exitCodes: [0, 1, 2],
  })
    .addOption(repositoryOption())
    .addOption(
      new Option('--host <address>', 'address to listen on').env('SI_HOST').default('0.0.0.0'),
    )
    .addOption(portOption('--http-port', 'port for tracker and torrents', 'SI_HTTP_PORT', 8080))
    .addOption(portOption('--peer-port', 'port for peers', 'SI_PEER_PORT', 6881))
    .addOption(
      new Option(
        '--announce-url <url>',
        'tracker address to write into torrents (default: the address that fetched them)',
      ).env('SI_ANNOUNCE_URL'),
    )
    .addOption(uploadLimitOption())
    .addOption(localDiscoveryOption())
    .addOption(lanesOption(MOST_SEEDING_LANES))
    .addOption(pkiOption())
    .addOption(clusterOption())
    .addOption(nodesOption())
    .addOption(bootOption())
    .enablePositionalOptions() // `--json` behind `init` is an option of init
    .addCommand(createServerInit(io))
  return withOptions(command, [
    ...authorityOptions(),
    ...tlsOptions('server'),
    new Option(
      '--issue-to-nodes',
      'with --tls: a certificate for a day to each machine that is to be installed (si-netboot); needs the authority here',
    ).env('SI_ISSUE_TO_NODES'),
    passphraseFileOption(),
    jsonOption(),
  ]).action((flags: ServerFlags) => runServer(flags, io))
}

async function runServer(flags: ServerFlags, io: Io): Promise<void> {
  const { openRepository } = await import('../repository/repository.ts')
  const { startServer } = await import('../server/server.ts')
  const log = createCommandLog(io, { command: 'si-server', json: flags.json === true })
  const { announceUrl, host } = flags
  const onNote = (text: string) => log.info({}, text)
  const security = await securityFrom(flags, { holder: 'server', onNote })
  const server = await startServer(
    {
      repository: await openRepository(flags.repository),
      pkiDirectory: flags.pki,
      bootDirectory: flags.boot,
      nodes: await nodesFrom(flags, log),
      issue: await issueFrom(flags),
      host,
      httpPort: flags.httpPort,
      peerPort: flags.peerPort,
      localDiscovery: flags.localDiscovery,
      uploadBytesPerSecond: flags.uploadLimit,
      lanes: flags.lanes,
      security,
      ...(announceUrl === undefined ? {} : { announceUrl }),
      log,
    },
    io.signal,
  )
  const shownHost = host.includes(':') ? `[${host}]` : host
  log.info(
    { images: server.images().length, peerPort: server.peerPort },
    `serving ${flags.repository} on ${security === undefined ? 'http' : 'https'}://${shownHost}:${server.httpPort}/`,
  )
  await untilInterrupted(io.signal)
  await server.close()
  security?.close()
}

/** Throws ERR_SI_USAGE, ERR_SI_AUTHORITY, ERR_SI_CERTIFICATE. */
async function issueFrom(flags: ServerFlags): Promise<ServerOptions['issue']> {
  if (flags.issueToNodes !== true) return undefined
  if (flags.tls !== true) {
    throw new SiError('ERR_SI_USAGE', '--issue-to-nodes is for servers with --tls', {
      hint: 'Add --tls (SI_TLS)',
    })
  }
  const { openAuthority } = await import('../pki/pki.ts')
  const authority = await openAuthority(join(flags.pki, 'ca'))
  const { passphraseFile } = flags
  await authority.checkKey(passphraseFile)
  return { authority, passphraseFile }
}

async function nodesFrom(flags: ServerFlags, log: Log): Promise<ServerOptions['nodes']> {
  const { openClusterSource, openNodeStore } = await import('../cluster/cluster.ts')
  const cluster = openClusterSource(flags.cluster, (message) => log.warn({}, message))
  const signer = await signerFrom({ pki: flags.pki, sign: true }).catch((error: unknown) => {
    log.warn({}, messageOf(error))
    return undefined
  })
  if (signer === undefined && (await cluster.current()) !== undefined) {
    log.warn({}, 'what nodes are told is not signed: si-server init makes a signer')
  }
  return { cluster, store: openNodeStore(nodesDirectory(flags)), signer }
}
