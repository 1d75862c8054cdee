// si-gridfs mount: the supervisor of a mount. What serves it is `si gridfs mount-worker`, started by the
// supervisor with the same options as JSON, so that a newer program can take over what an older one began.
import { join, resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { SiError } from '../core/core.ts'
import { argument, jsonOption } from './arguments.ts'
import { createCommandLog } from './command-log.ts'
import { createCommand, type Outcome } from './command.ts'
import { isExitCode } from './exit-code.ts'
import type { Io } from './io.ts'
import { parseKernelOptions } from './mount-options.ts'
import { credentialsFrom, credentialOptions, type CredentialFlags } from './tls-arguments.ts'
import { authorityOptions, pkiOption, withOptions } from './trust-arguments.ts'

/** Of no other service known to IANA. */
export const GRID_PORT = 7420

interface MountFlags extends CredentialFlags {
  /** null, in JSON, for Infinity. */
  readonly soft: number | null
  readonly cache: number
  readonly options: string
  readonly json?: true
}

interface MountOrder {
  readonly source: string
  readonly directory: string
  readonly flags: MountFlags
}

const LAUNCHER = join(import.meta.dirname, '../../src/cli/si')
const WORKER = 'mount-worker'

export function createMount(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'mount',
    summary: 'Mount an export, until Ctrl-C or umount; SIGHUP changes to the program installed now',
    examples: [
      'si-gridfs mount server:/images /mnt/images',
      'si-gridfs mount server:7421:/images /mnt/images --soft 30   calls fail after 30 s',
      'kill -HUP PID                                  upgrade it; programs on the mount go on',
    ],
    exitCodes: [0, 1, 2, 13],
  })
    .argument('<source>', 'SERVER[:PORT]:/EXPORT; a mirror: A,B,C:/EXPORT or mirror:A:/X,B:/X,C:/X')
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
        .default(3, '3; the server tells of changes by other mounts at once'),
    )
    .option(
      '--options <list>',
      'what the kernel is told, such as ro,nodev',
      argument(parseKernelOptions),
      '',
    )
    .addOption(jsonOption())
  const options = [pkiOption(), ...authorityOptions(), ...credentialOptions('gridfs-client')]
  return withOptions(command, options).action(
    async (source: string, directory: string, flags: MountFlags) => {
      const order = { source, directory: resolve(directory), flags }
      outcome.exitCode = await runMount(order, io)
    },
  )
}

async function runMount(order: MountOrder, io: Io): Promise<Outcome['exitCode']> {
  const { parseVolumeSource, superviseMount } = await import('../gridfs/gridfs.ts')
  parseVolumeSource(order.source, GRID_PORT)
  const log = logOf(order, io)
  const status = await superviseMount({
    directory: order.directory,
    command: { program: LAUNCHER, args: ['gridfs', WORKER, JSON.stringify(order)] },
    ...{ signal: io.signal, onReplace: io.onHangUp },
    onNote: (text) => log.info({}, text),
  })
  if (isExitCode(status)) return status
  throw new SiError('ERR_SI_INTERNAL', `The process that serves the mount ended: status ${status}`)
}

/** Hidden: started by the supervisor with all that a mount hangs on. */
export function createMountWorker(io: Io): Command {
  return createCommand({ name: WORKER, summary: '', examples: [], exitCodes: [0, 1] })
    .argument('<order>', 'of the supervisor')
    .action((order: string) => runWorker(JSON.parse(order) as MountOrder, io))
}

async function runWorker(order: MountOrder, io: Io): Promise<void> {
  const gridfs = await import('../gridfs/gridfs.ts')
  const { flags, directory } = order
  const source = gridfs.parseVolumeSource(order.source, GRID_PORT)
  const log = logOf(order, io)
  const onNote = (text: string) => log.info({}, text)
  const credentials = await credentialsFrom(flags, {
    ...{ holder: 'gridfs-client', roles: ['gridfs-client', 'image-server', 'node'], onNote },
  })
  const supervised = gridfs.joinSupervisor({ directory, signal: io.signal, onNote })
  try {
    await supervised.begun
    const mount = await gridfs.mountGrid({
      ...{ source, directory, credentials, onNote, fds: gridfs.WORKER_FDS },
      options: flags.options.split(',').filter((one) => one !== ''),
      softMs: (flags.soft ?? Infinity) * 1000,
      ...{ validMs: flags.cache * 1000, signal: supervised.signal },
    })
    if (mount.isFirst) log.info({}, `mounted ${gridfs.formatVolumeSource(source)} at ${directory}`)
    supervised.serves(mount.isReplaceable)
    await mount.ended
    log.info({}, `unmounted ${directory}`)
  } finally {
    supervised.close()
    credentials.close()
  }
}

function logOf({ flags }: MountOrder, io: Io) {
  return createCommandLog(io, { command: 'si-gridfs', json: flags.json === true })
}

function parseSeconds(text: string): number {
  if (/^\d{1,6}(\.\d{1,3})?$/.test(text)) return Number(text)
  throw new SiError('ERR_SI_USAGE', `Cannot use ${JSON.stringify(text)} as a time`, {
    hint: 'Write seconds, such as 30 or 0.5',
  })
}
