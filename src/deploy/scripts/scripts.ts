// The administrator's scripts of one deployment: in their order, and with what was chosen when one fails. Invariants: none
// runs before the plan was confirmed; what each one said is shown as it comes and stays in the target, in a file of its own.
import { formatDuration, messageOf, SiError, type Progress } from '../../core/core.ts'
import { runGroup } from '../../host/host.ts'
import type { TargetPlace } from '../finish/finish.ts'
import type { TargetTree } from '../finish/target-tree.ts'
import { runScript, type ScriptEnd, type ScriptLog, type StartScript } from './run-script.ts'
import { scriptEnvironment, type ScriptFacts } from './script-environment.ts'
import type { Script, ScriptOptions, Stage } from './script.ts'

/** Where the target keeps what scripts wrote. */
const LOG_FOLDER = 'var/log/swarmimager'
/** Where a post-install script lies for itself. */
const SCRIPT_FOLDER = '/run/swarmimager/script'
const SHOWN_CHARACTERS = 300

export interface ScriptReport {
  readonly stage: Stage
  readonly name: string
  readonly exitCode: number
  readonly durationMs: number
}

export interface Scripts {
  /** In the order in which they ran. */
  readonly reports: readonly ScriptReport[]
  /** Failures after which the deployment went on. */
  readonly failures: readonly string[]
  /** Runs the pre-install scripts. Throws ERR_SI_SCRIPT, ERR_SI_PROGRAM_*, ERR_SI_ABORTED. */
  runBefore(): Promise<void>
  /** Writes into the target what the pre-install scripts said. */
  keepLogs(tree: TargetTree): Promise<void>
  /** Runs the post-install scripts in the target; throws as runBefore(). */
  runAfter(place: TargetPlace): Promise<void>
}

export interface ScriptSurroundings {
  readonly facts: ScriptFacts
  readonly progress: Progress
  /** Opens a shell for a person, settles with its exit status; undefined: nobody is there. */
  readonly shell: ((reason: string) => Promise<number>) | undefined
  readonly signal: AbortSignal
}

export function createScripts(options: ScriptOptions, around: ScriptSurroundings): Scripts {
  const { facts, progress, signal } = around
  const reports: ScriptReport[] = []
  const failures: string[] = []
  const logs: ScriptLog[] = []
  const runAll = async (
    stage: Stage,
    scripts: readonly Script[],
    how: {
      readonly start: StartScript
      readonly onLog: (log: ScriptLog) => Promise<void>
      /** Where a person finds the target. */
      readonly root?: string
    },
  ) => {
    for (const [index, script] of scripts.entries()) {
      const { name } = script
      const end = await runScript({ stage, number: index + 1, script }, how.start, {
        ...{ env: scriptEnvironment({ stage, name }, facts, options), progress, signal },
        ...{ timeLimitMs: options.timeLimitMs, onLog: how.onLog },
      })
      const { exitCode, durationMs } = end
      reports.push({ stage, name, exitCode, durationMs })
      if (exitCode === 0 && !end.isTimedOut) continue
      failures.push(await goOnOrStop({ stage, name, end, root: how.root }, options, around))
    }
  }
  /** A target that is full must not hide why a script failed. */
  const keepLog = (tree: TargetTree, { name, text }: ScriptLog) =>
    tree
      .write(`${LOG_FOLDER}/${name}`, text, { mode: 0o600 })
      .catch((error: unknown) => progress.note(`cannot keep ${name}: ${messageOf(error)}`))
  return {
    ...{ reports, failures },
    runBefore: () =>
      runAll('pre-install', options.preInstall, {
        start: ({ interpreter: [program = '', ...args], folder, file }, how) =>
          runGroup(program, [...args, `${folder}/${file}`], how),
        onLog: async (log) => void logs.push(log),
      }),
    async keepLogs(tree) {
      for (const log of logs) await keepLog(tree, log)
    },
    runAfter: ({ tree, system }) =>
      runAll('post-install', options.postInstall, {
        start: ({ interpreter, folder, file }, how) =>
          system.runForeign([...interpreter, `${SCRIPT_FOLDER}/${file}`], {
            ...how,
            ...{ folder, at: SCRIPT_FOLDER },
          }),
        onLog: (log) => keepLog(tree, log),
        root: tree.root,
      }),
  }
}

interface Failed {
  readonly stage: Stage
  readonly name: string
  readonly end: ScriptEnd
  readonly root: string | undefined
}

/** What to say of it where the deployment goes on. Throws ERR_SI_SCRIPT where it stops. */
async function goOnOrStop(
  failed: Failed,
  { onFailure, timeLimitMs }: ScriptOptions,
  { shell }: ScriptSurroundings,
): Promise<string> {
  const { stage, name, end } = failed
  const how = end.isTimedOut
    ? `was still running after ${formatDuration(timeLimitMs)} and was ended`
    : `failed with status ${end.exitCode}`
  const words = end.lastLines.map((line) => line.slice(0, SHOWN_CHARACTERS)).join('; ')
  const failure = `${stage} script ${name} ${how}${words === '' ? '' : `: ${words}`}`
  if (onFailure === 'continue') return failure
  const isAlone = onFailure === 'shell' && shell === undefined
  if (onFailure === 'shell' && shell !== undefined) {
    const place = failed.root === undefined ? '' : ` The target is ${failed.root}.`
    const ways = '"exit 0" goes on with the installation, "exit 1" stops it'
    const status = await shell(`${failure}.${place} ${ways}`)
    if (status === 0) return `${failure}; it went on after a shell`
  }
  const choice = isAlone ? 'shell, but there is no console to open one on' : onFailure
  throw new SiError('ERR_SI_SCRIPT', `The ${failure} (on failure: ${choice})`, {
    hint: hintOf(failed),
  })
}

function hintOf({ stage, name, end }: Failed): string {
  const mend =
    end.exitCode === 127 ? `Look whether what ${name} calls is installed` : `Mend ${name}`
  return stage === 'pre-install'
    ? `${mend} and deploy again; this run has not touched the target`
    : `${mend} and deploy again, which goes on from here; all that it said is in /${LOG_FOLDER} of the target`
}
