// si-gridfs serve: folders of this machine, for mounts of others, until it is ended. SIGHUP has it read
// gridfs.yaml again; it does so by itself soon after the file has changed.
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { jsonOption, portOption } from './arguments.ts'
import { createCommandLog, untilInterrupted } from './command-log.ts'
import { createCommand } from './command.ts'
import type { Io } from './io.ts'
import { credentialsFrom, credentialOptions, type CredentialFlags } from './tls-arguments.ts'
import { authorityOptions, pkiOption, withOptions } from './trust-arguments.ts'

interface ServeFlags extends CredentialFlags {
  readonly config: string
  readonly state: string
  readonly host: string
  readonly port: number
  readonly json?: true
}

/** `port` of those who name none: one of no other service known to IANA. */
export function createGridfsServe(io: Io, port: number): Command {
  const command = createCommand({
    name: 'serve',
    summary: 'Serve the folders that gridfs.yaml exports, until Ctrl-C; SIGHUP reads it again',
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
    .addOption(portOption('--port', 'port, 0 for any', 'SI_GRIDFS_PORT', port))
    .addOption(jsonOption())
  const options = [pkiOption(), ...authorityOptions(), ...credentialOptions('gridfs-server')]
  return withOptions(command, options).action((flags: ServeFlags) => runServe(flags, io))
}

async function runServe(flags: ServeFlags, io: Io): Promise<void> {
  const { LiveRules, openServerState, readRules, startGridServer } =
    await import('../gridfs/gridfs.ts')
  const log = createCommandLog(io, { command: 'si-gridfs', json: flags.json === true })
  const onNote = (text: string) => log.info({}, text)
  const file = resolve(flags.config)
  const rules = await readRules(file)
  const state = await openServerState(resolve(flags.state))
  const credentials = await credentialsFrom(flags, {
    ...{ holder: 'gridfs-server', roles: ['gridfs-server', 'image-server'], onNote },
  })
  try {
    const { host, port } = flags
    const server = await startGridServer({ host, port, credentials, onNote, ...rules, ...state })
    const live = await LiveRules.of({ file, onNote, onRules: (rules) => server.setRules(rules) })
    credentials.onRound(() => void live.look({ isForced: false }))
    io.onHangUp(() => void live.look({ isForced: true }))
    const names = rules.exports.map(({ name }) => name).join(', ')
    log.info({ port: server.port }, `serving ${names}`)
    await untilInterrupted(io.signal)
    await server.close()
  } finally {
    credentials.close()
  }
}
