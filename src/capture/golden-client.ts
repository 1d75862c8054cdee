// How commands reach the golden client: scripts on the standard input of `sh -s`, over the system's ssh
// or on this machine. Invariant: nothing is installed there, no argument passes through the remote
// login shell, and a user's ~/.ssh/config and -o options win over ours (ssh_config(5): first value).
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
  | { readonly type: 'root'; readonly directory: string }

export interface GoldenClient {
  /** For messages: `golden01`, `/srv/tree`. */
  readonly description: string
  /** Where its tree begins: `/`, or the local directory. */
  readonly root: string
  /** Runs a POSIX shell script to its end; any exit status but ssh's own failure is a result. */
  runScript(script: string, signal: AbortSignal): Promise<RunResult>
  /** Starts a script whose standard output goes to a file descriptor, which stays the caller's. */
  startScript(script: string, stdoutFd: number, signal: AbortSignal): StartedProgram
  /** The error for an exit status that is the transport's and not the script's, else undefined. */
  transportError(result: {
    readonly exitCode: number
    readonly stderr: string
  }): SiError | undefined
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
    startScript: (script, stdoutFd, signal) =>
      startShell('ssh', args, { script, stdoutFd, signal }),
    transportError: (result) =>
      result.exitCode >= 128 ? sshError(host, result.exitCode, result.stderr) : undefined,
  }
}

/** The arguments of ssh up to and with the remote command. */
export function sshArguments(source: CaptureSource & { readonly type: 'ssh' }): string[] {
  const options = [...source.sshOptions, ...SSH_OPTIONS].flatMap((option) => ['-o', option])
  const port = source.port === undefined ? [] : ['-p', String(source.port)]
  const identity = source.identityFile === undefined ? [] : ['-i', source.identityFile]
  return ['-T', ...port, ...identity, ...options, '--', source.host, 'sh -s']
}

function createLocal(directory: string): GoldenClient {
  return {
    description: directory,
    root: directory,
    runScript: (script, signal) =>
      run('sh', ['-s'], { signal, input: script, okExitCodes: ANY_EXIT_CODE }),
    startScript: (script, stdoutFd, signal) =>
      startShell('sh', ['-s'], { script, stdoutFd, signal }),
    transportError: () => undefined,
  }
}

const ANY_EXIT_CODE = Array.from({ length: SSH_FAILED + 1 }, (_, code) => code)

function startShell(
  program: string,
  args: readonly string[],
  io: { readonly script: string; readonly stdoutFd: number; readonly signal: AbortSignal },
): StartedProgram {
  const child = start(program, args, { stdio: ['pipe', io.stdoutFd, 'pipe'], signal: io.signal })
  child.process.stdin?.on('error', () => {}) // it ended early; its status tells why
  child.process.stdin?.end(io.script)
  return child
}
