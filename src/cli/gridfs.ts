// si-gridfs: folders of one machine as file systems of others.
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { SiError } from '../core/core.ts'
import { argument, jsonOption } from './arguments.ts'
import { createCommandLog } from './command-log.ts'
import { createCommand } from './command.ts'
import { createGridfsServe } from './gridfs-serve.ts'
import type { Io } from './io.ts'
import { credentialsFrom, credentialOptions, type CredentialFlags } from './tls-arguments.ts'
import { authorityOptions, pkiOption, withOptions } from './trust-arguments.ts'

/** Of no other service known to IANA. */
const GRID_PORT = 7420

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
  return command.addCommand(createGridfsServe(io, GRID_PORT)).addCommand(createMount(io))
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
