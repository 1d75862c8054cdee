// How commands reach the golden client: scripts on the standard input of `sh -s`, over the system's ssh
// or on this machine. Invariant: nothing is installed there, no argument passes through the remote
// login shell, and a user's ~/.ssh/config and -o options win over ours (ssh_config(5): first value).
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SiError } from '../core/core.ts'
import { run, start, type RunResult, type StartedProgram } from '../host/host.ts'
import { sshError } from './ssh-error.ts'

/** A machine reached by ssh, or a tree on this one. */
export type CaptureSource =
  | {
      readonly type: 'ssh'
      /** `[user@]host` as ssh takes it, also an alias of ~/.ssh/config. */
      readonly host: string
      readonly port?: number
      /** Values of further -o options, such as `ProxyJump=gate`. */
      readonly sshOptions: readonly string[]
      readonly identityFile?: string
    }
  | {
      readonly type: 'root'
      readonly directory: string
      /** For the header, where the tree itself does not say, or cannot know. */
      readonly describedAs?: { readonly host: string; readonly architecture?: string }
    }

export interface GoldenClient {
  /** For messages: `golden01`, `/srv/tree`. */
  readonly description: string
  /** Where its tree begins: `/`, or the local directory. */
  readonly root: string
  /** Runs a POSIX shell script to its end; any exit status but ssh's own failure is a result. */
  runScript(script: string, signal: AbortSignal): Promise<RunResult>
  /** Starts a script. A file descriptor for its output stays the caller's. */
  startScript(script: string, io: ScriptIo, signal: AbortSignal): StartedProgram
  /** The error for an exit status that is the transport's and not the script's, else undefined. */
  transportError(result: {
    readonly exitCode: number
    readonly stderr: string
  }): SiError | undefined
}

export interface ScriptIo {
  readonly stdout: number | 'pipe'
  /** What the script's programs read; nothing when left out. */
  readonly stdin?: Iterable<Buffer>
}

/** Seconds of silence after which an unreachable or frozen golden client counts as lost. */
const CONNECT_TIMEOUT_SECONDS = 15
const ALIVE_INTERVAL_SECONDS = 10
const ALIVE_COUNT = 3

/** ssh's own exit status; a script's last status is below (ssh(1), EXIT STATUS). */
const SSH_FAILED = 255

const SSH_OPTIONS = [
  'BatchMode=yes',
  `ConnectTimeout=${CONNECT_TIMEOUT_SECONDS}`,
  `ServerAliveInterval=${ALIVE_INTERVAL_SECONDS}`,
  `ServerAliveCountMax=${ALIVE_COUNT}`,
  'ControlMaster=no',
  'ClearAllForwardings=yes',
  'ForwardAgent=no',
  'ForwardX11=no',
  'RequestTTY=no',
  'RemoteCommand=none',
  'PermitLocalCommand=no',
]

/** Nothing is contacted yet. Throws ERR_SI_USAGE for a host that ssh would read as an option. */
export function createGoldenClient(source: CaptureSource): GoldenClient {
  if (source.type === 'root') return createLocal(source.directory)
  const { host } = source
  if (host === '' || host.startsWith('-') || /\s/.test(host)) {
    throw new SiError('ERR_SI_USAGE', `Cannot use ${JSON.stringify(host)} as a host name`)
  }
  const args = sshArguments(source)
  return {
    description: host,
    root: '/',
    async runScript(script, signal) {
      const result = await run('ssh', args, { signal, input: script, okExitCodes: ANY_EXIT_CODE })
      const error = this.transportError(result)
      if (error !== undefined) throw error
      return result
    },
    startScript: (script, io, signal) =>
      startShell('ssh', sshArguments(source, `sh -c '${FED_SHELL}'`), feed(script, io), signal),
    transportError: (result) =>
      result.exitCode >= 128 ? sshError(host, result.exitCode, result.stderr) : undefined,
  }
}

/** The arguments of ssh up to and with the remote command. */
export function sshArguments(
  source: CaptureSource & { readonly type: 'ssh' },
  command = 'sh -s',
): string[] {
  const options = [...source.sshOptions, ...SSH_OPTIONS].flatMap((option) => ['-o', option])
  const port = source.port === undefined ? [] : ['-p', String(source.port)]
  const identity = source.identityFile === undefined ? [] : ['-i', source.identityFile]
  return ['-T', ...port, ...identity, ...options, '--', source.host, command]
}

function createLocal(directory: string): GoldenClient {
  return {
    description: directory,
    root: directory,
    runScript: (script, signal) =>
      run('sh', ['-s'], { signal, input: script, okExitCodes: ANY_EXIT_CODE }),
    startScript: (script, io, signal) =>
      startShell('sh', ['-c', FED_SHELL], feed(script, io), signal),
    transportError: () => undefined,
  }
}

const ANY_EXIT_CODE = Array.from({ length: SSH_FAILED + 1 }, (_, code) => code)

/**
 * Takes the script from the first line of standard input and leaves the rest to the script's programs:
 * `read` takes no byte beyond the line (POSIX). Between single quotes any login shell passes it on.
 */
const FED_SHELL = 'IFS= read -r script; eval "$(printf %b "$script")"'

function feed(script: string, io: ScriptIo): ScriptIo {
  const line = `${script.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n`
  const bytes = function* () {
    yield Buffer.from(line)
    yield* io.stdin ?? []
  }
  return { ...io, stdin: bytes() }
}

function startShell(
  program: string,
  args: readonly string[],
  io: ScriptIo,
  signal: AbortSignal,
): StartedProgram {
  const child = start(program, args, { stdio: ['pipe', io.stdout, 'pipe'], signal })
  const { stdin } = child.process
  // It may end before it has read everything; its status tells why.
  if (stdin !== null)
    pipeline(Readable.from(io.stdin ?? [], { objectMode: true }), stdin).catch(() => {})
  return child
}
