// The command tree. Commands load what they need when they run, so that --help is quick.
import { Command, CommanderError } from 'commander'
import { createAutoinstallCommand } from './autoinstall.ts'
import { createCaCommand } from './ca.ts'
import { createClusterCommand } from './cluster.ts'
import type { Outcome } from './command.ts'
import { createCpimageCommand } from './cpimage.ts'
import { createDeployCommand } from './deploy.ts'
import { createDiffimageCommand } from './diffimage.ts'
import { createExportimageCommand } from './exportimage.ts'
import { createGetimageCommand } from './getimage.ts'
import { createImportimageCommand } from './importimage.ts'
import { createGridfsCommand } from './gridfs.ts'
import { MOUNT_HELPER } from './gridfs-mount-helper.ts'
import { createIopolicyCommand } from './iopolicy.ts'
import { createIothrottleCommand } from './iothrottle.ts'
import type { Io } from './io.ts'
import { createLsimageCommand } from './lsimage.ts'
import { createMkautoinstallCommand } from './mkautoinstall.ts'
import { createMvimageCommand } from './mvimage.ts'
import { createNetbootCommand } from './netboot.ts'
import { createRmimageCommand } from './rmimage.ts'
import { createSeedCommand } from './seed.ts'
import { createServerCommand } from './server.ts'
import { createVerifyimageCommand } from './verifyimage.ts'
import { readVersion } from './version.ts'

/** Runs `si ARGS`; returns the exit status, throws SiError. */
export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  const outcome: Outcome = { exitCode: 0 }
  try {
    await createProgram(io, outcome).parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help and version end with 0; commander has already printed what the user did wrong.
    return error.exitCode === 0 ? 0 : 2
  }
  return outcome.exitCode
}

/** The variables that stand for options, such as SI_REPOSITORY. */
export function settingNames(): ReadonlySet<string> {
  const nowhere = { write: () => {} }
  const signal = new AbortController().signal
  const io: Io = {
    ...{ stdout: nowhere, stderr: nowhere, stdin: undefined, ask: undefined, signal },
    onHangUp: () => {},
  }
  const { commands } = createProgram(io, { exitCode: 0 })
  const all = commands.flatMap((command) => [command, ...command.commands])
  const names = all.flatMap(({ options }) => options.map(({ envVar }) => envVar))
  return new Set(names.filter((name) => name !== undefined))
}

function createProgram(io: Io, outcome: Outcome): Command {
  const program = new Command('si')
    .description('Puts an operating system on many machines at once')
    .version(readVersion(), '-V, --version')
    .helpCommand('help [command]', 'show the help of a command')
    .enablePositionalOptions() // an option behind a command is that command's
  const commands = [
    createGetimageCommand(io, outcome),
    createServerCommand(io),
    createDeployCommand(io, outcome),
    createSeedCommand(io),
    createLsimageCommand(io, outcome),
    createCpimageCommand(io),
    createMvimageCommand(io),
    createVerifyimageCommand(io, outcome),
    createExportimageCommand(io),
    createImportimageCommand(io, outcome),
    createRmimageCommand(io),
    createGridfsCommand(io, outcome),
    createIothrottleCommand(io, outcome),
    createIopolicyCommand(io),
    createCaCommand(io),
    createClusterCommand(io, outcome),
    createNetbootCommand(io),
    createDiffimageCommand(io),
    createMkautoinstallCommand(io),
    createAutoinstallCommand(io),
  ]
  for (const command of commands) program.addCommand(command)
  const parts = commands.flatMap((command) => command.commands)
  for (const command of [program, ...commands, ...parts]) {
    const name = shownName(command)
    command
      .exitOverride()
      .showSuggestionAfterError()
      .showHelpAfterError(`(${name} --help shows how)`)
      .configureOutput({
        writeOut: (text) => io.stdout.write(text),
        writeErr: (text) => io.stderr.write(text),
      })
      .configureHelp({ commandUsage: () => `${name} ${command.usage()}` })
  }
  return program
}

/** As people call it: `si-ca issue`. */
function shownName(command: Command): string {
  const { parent } = command
  if (parent === null) return 'si'
  if (command.name() === MOUNT_HELPER) return 'mount.gridfs'
  return parent.parent === null ? `si-${command.name()}` : `${shownName(parent)} ${command.name()}`
}
