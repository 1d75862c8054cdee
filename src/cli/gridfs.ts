// si-gridfs: folders of one machine as file systems of others.
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { SiError } from '../core/core.ts'
import { argument, jsonOption, portOption } from './arguments.ts'
import { createCommandLog, untilInterrupted } from './command-log.ts'
import { createCommand } from './command.ts'
import type { Io } from './io.ts'
import { credentialsFrom, credentialOptions, type CredentialFlags } from './tls-arguments.ts'
import { authorityOptions, pkiOption, withOptions } from './trust-arguments.ts'

/** Of no other service known to IANA. */
const GRID_PORT = 7420

interface ServeFlags extends CredentialFlags {
  readonly config: string
  readonly state: string
  readonly host: string
  readonly port: number
  readonly json?: true
}

interface MountFlags extends CredentialFlags {
  readonly soft: number
  readonly cache: number
  readonly json?: true
}

export function createGridfsCommand(io: Io): Command {
  const command = createCommand({
    name: 'gridfs',
    summary: 'Share folders between machines as file systems, over mutual TLS',
    examples: [
      'si-gridfs serve                                     what gridfs.yaml exports',
      'si-gridfs mount server:/images /mnt/images          until Ctrl-C, or umount /mnt/images',
    ],
    exitCodes: [0, 1, 2, 13],
  })
  return command.addCommand(createServe(io)).addCommand(createMount(io))
}

function createServe(io: Io): Command {
  const command = createCommand({
    name: 'serve',
    summary: 'Serve the folders that gridfs.yaml exports, until Ctrl-C',
    examples: ['si-gridfs serve', 'si-gridfs serve --config exports.yaml --port 0 --json'],
    exitCodes: [0, 1, 2],
  })
    .addOption(
      new Option('--config <file>', 'which folders, for whom')
        .env('SI_GRIDFS_CONFIG')
        .default('/etc/swarmimager/gridfs.yaml'),
    )
    .addOption(
      new Option('--state <dir>', 'what must be known after a restart')
        .env('SI_GRIDFS_STATE')
        .default('/var/lib/swarmimager/gridfs'),
    )
    .option('--host <address>', 'address to listen on', '::')
    .addOption(portOption('--port', 'port, 0 for any', 'SI_GRIDFS_PORT', GRID_PORT))
    .addOption(jsonOption())
  const options = [pkiOption(), ...authorityOptions(), ...credentialOptions('gridfs-server')]
  return withOptions(command, options).action((flags: ServeFlags) => runServe(flags, io))
}

async function runServe(flags: ServeFlags, io: Io): Promise<void> {
  const { openServerState, readExports, startGridServer } = await import('../gridfs/gridfs.ts')
  const log = createCommandLog(io, { command: 'si-gridfs', json: flags.json === true })
  const onNote = (text: string) => log.info({}, text)
  const exports = await readExports(resolve(flags.config))
  const state = await openServerState(resolve(flags.state))
  const credentials = await credentialsFrom(flags, {
    ...{ holder: 'gridfs-server', roles: ['gridfs-server', 'image-server'], onNote },
  })
  try {
    const { host, port } = flags
    const server = await startGridServer({ host, port, exports, credentials, onNote, ...state })
    const names = exports.map(({ name }) => name).join(', ')
    log.info({ port: server.port }, `serving ${names}`)
    await untilInterrupted(io.signal)
    await server.close()
  } finally {
    credentials.close()
  }
}

function createMount(io: Io): Command {
  const command = createCommand({
    name: 'mount',
    summary: 'Mount an export, until Ctrl-C or umount',
    examples: [
      'si-gridfs mount server:/images /mnt/images',
      'si-gridfs mount server:7421:/images /mnt/images --soft 30   calls fail after 30 s',
    ],
    exitCodes: [0, 1, 2, 13],
  })
    .argument('<source>', 'SERVER:/EXPORT or SERVER:PORT:/EXPORT')
    .argument('<directory>', 'an empty folder')
    .addOption(
      new Option('--soft <seconds>', 'how long calls wait for a server that is away')
        .env('SI_GRIDFS_SOFT')
        .argParser(argument(parseSeconds))
        .default(Infinity, 'until it is back, or the program is interrupted'),
    )
    .addOption(
      new Option('--cache <seconds>', 'how long names and attributes are believed unasked')
        .env('SI_GRIDFS_CACHE')
        .argParser(argument(parseSeconds))
        .default(1, '1; the server tells of changes by other mounts at once'),
    )
    .addOption(jsonOption())
  const options = [pkiOption(), ...authorityOptions(), ...credentialOptions('gridfs-client')]
  return withOptions(command, options).action(
    (source: string, directory: string, flags: MountFlags) =>
      runMount(source, { ...flags, directory: resolve(directory) }, io),
  )
}

async function runMount(
  text: string,
  flags: MountFlags & { readonly directory: string },
  io: Io,
): Promise<void> {
  const { formatVolumeSource, mountGrid, parseVolumeSource } = await import('../gridfs/gridfs.ts')
  const source = parseVolumeSource(text, GRID_PORT)
  const log = createCommandLog(io, { command: 'si-gridfs', json: flags.json === true })
  const onNote = (text: string) => log.info({}, text)
  const { directory } = flags
  const credentials = await credentialsFrom(flags, {
    ...{ holder: 'gridfs-client', roles: ['gridfs-client', 'image-server', 'node'], onNote },
  })
  try {
    const mount = await mountGrid({
      ...{ source, directory, credentials, onNote },
      ...{ softMs: flags.soft * 1000, validMs: flags.cache * 1000, signal: io.signal },
    })
    log.info({}, `mounted ${formatVolumeSource(source)} at ${directory}`)
    await mount.ended
    log.info({}, `unmounted ${directory}`)
  } finally {
    credentials.close()
  }
}

function parseSeconds(text: string): number {
  if (/^\d{1,6}(\.\d{1,3})?$/.test(text)) return Number(text)
  throw new SiError('ERR_SI_USAGE', `Cannot use ${JSON.stringify(text)} as a time`, {
    hint: 'Write seconds, such as 30 or 0.5',
  })
}
