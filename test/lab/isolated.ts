// Programs in mount and process namespaces of their own: whatever they mount or start is gone as soon
// as they are, however they end.
import { programFailed, start, type StartedProgram } from '../../src/host/host.ts'
import { type Scope } from './scope.ts'

export interface IsolatedProgram {
  readonly exited: StartedProgram['exited']
  /** Kills the program and all that it started, and waits until they are gone. */
  kill(): Promise<void>
}

/**
 * Starts a shell script isolated (unshare(1): mount, UTS and process namespaces); it is killed with
 * the scope. `prefix` is put before the whole command, such as `ip netns exec NAME`.
 */
export function startIsolated(
  scope: Scope,
  what: string,
  command: {
    readonly prefix?: readonly string[]
    readonly script: string
    args: readonly string[]
  },
): IsolatedProgram {
  const namespaces = ['--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc']
  const shell = ['sh', '-euc', command.script, 'sh', ...command.args]
  const all = [...(command.prefix ?? []), 'unshare', ...namespaces, '--', ...shell]
  const program = start('setsid', all, { stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = async () => {
    program.process.kill('SIGKILL') // unshare ignores SIGTERM; its child dies with it
    await program.exited.catch(() => {})
  }
  scope.defer(what, kill)
  return { exited: program.exited, kill }
}

/** Runs an isolated script to its end. Throws ERR_SI_PROGRAM_FAILED, or when interrupted. */
export async function runIsolated(
  scope: Scope,
  what: string,
  command: { readonly script: string; readonly args: readonly string[] },
): Promise<void> {
  const program = startIsolated(scope, what, command)
  const onAbort = () => void program.kill()
  scope.signal.addEventListener('abort', onAbort, { once: true })
  const result = await program.exited
  scope.signal.removeEventListener('abort', onAbort)
  scope.signal.throwIfAborted()
  if (result.exitCode !== 0) throw programFailed(what, command.args, result)
}
