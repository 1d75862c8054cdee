// Options of si-deploy about scripts that run before and after the installation, and the shell for when one fails.
import { readFile } from 'node:fs/promises'
import { InvalidArgumentError, Option } from 'commander'
import { messageOf, SiError } from '../core/core.ts'
import type { Script, ScriptFailureChoice, ScriptOptions } from '../deploy/deploy.ts'
import { collect, durationOption } from './arguments.ts'
import type { Io } from './io.ts'

export interface ScriptFlags {
  readonly preInstall: readonly string[]
  readonly postInstall: readonly string[]
  readonly onScriptFailure: ScriptFailureChoice
  readonly scriptTimeLimit?: number
  readonly parameter: Readonly<Record<string, string>>
}

const FAILURE: readonly ScriptFailureChoice[] = ['stop', 'shell', 'continue']

export const scriptOptions = () => [
  new Option('--pre-install <file>', 'script to run here, as root, before a disk is touched')
    .argParser(collect)
    .default([], 'none'),
  new Option('--post-install <file>', 'script to run, as root, in the finished system')
    .argParser(collect)
    .default([], 'none'),
  new Option('--on-script-failure <choice>', 'shell: on this terminal')
    .choices(FAILURE)
    .default('stop')
    .env('SI_ON_SCRIPT_FAILURE'),
  durationOption(
    '--script-time-limit <time>',
    'end a script that runs for longer (default: 15m)',
    'SI_SCRIPT_TIME_LIMIT',
  ),
  new Option('--parameter <name=value>', 'for scripts, which find it as SI_PARAM_NAME')
    .argParser(collectParameter)
    .default({}, 'none'),
]

function collectParameter(
  text: string,
  before: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const [, name, value = ''] = /^([a-z][a-z0-9_]{0,63})=(.*)$/s.exec(text) ?? []
  if (name !== undefined) return { ...before, [name]: value }
  throw new InvalidArgumentError('It must be NAME=VALUE, the name in lower case.')
}

/** Throws ERR_SI_CONFIGURATION when one cannot be read. */
export async function scriptsFrom(flags: ScriptFlags, torrent: string): Promise<ScriptOptions> {
  const { SCRIPT_TIME_LIMIT_MS } = await import('../deploy/deploy.ts')
  return {
    preInstall: await Promise.all(flags.preInstall.map(readScript)),
    postInstall: await Promise.all(flags.postInstall.map(readScript)),
    onFailure: flags.onScriptFailure,
    timeLimitMs: flags.scriptTimeLimit ?? SCRIPT_TIME_LIMIT_MS,
    parameters: flags.parameter,
    groups: [],
    server: /^https?:\/\/[^/]+/.exec(torrent)?.[0] ?? '',
  }
}

async function readScript(name: string): Promise<Script> {
  try {
    return { name, text: await readFile(name, 'utf8') }
  } catch (cause) {
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read script ${name}: ${messageOf(cause)}`, {
      hint: 'Check the path of the script',
      cause,
    })
  }
}

/** A shell on this terminal; undefined: nobody sits there. `clear` takes the progress line away. */
export function terminalShell(
  io: Io,
  clear: () => void,
): ((reason: string) => Promise<number>) | undefined {
  if (io.ask === undefined) return undefined
  return async (reason) => {
    const { start } = await import('../host/host.ts')
    clear()
    io.stderr.write(`${reason}\n`)
    const shell = start('sh', ['-i'], { stdio: 'inherit', signal: io.signal })
    return (await shell.exited).exitCode
  }
}
