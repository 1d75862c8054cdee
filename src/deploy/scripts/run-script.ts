// Runs one script to its end and keeps what it said. Invariant: however it ends, also by Ctrl-C, there is a log of it, and
// nothing of its process group is left.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, type Progress } from '../../core/core.ts'
import { type GroupEnd, type GroupOptions } from '../../host/host.ts'
import { RUN_DIRECTORY } from '../disks/inspect-disk.ts'
import { createScriptOutput } from './script-output.ts'
import { parseInterpreter, type Script, type Stage } from './script.ts'

export interface ScriptToRun {
  readonly stage: Stage
  /** Counted from 1. */
  readonly number: number
  readonly script: Script
}

/** Runs `interpreter FOLDER/file`, where FOLDER is the script's place for whom it runs. */
export type StartScript = (
  script: {
    readonly interpreter: readonly string[]
    readonly folder: string
    readonly file: string
  },
  options: GroupOptions,
) => Promise<GroupEnd>

export interface ScriptLog {
  /** Name of the file. */
  readonly name: string
  readonly text: string
}

export interface ScriptEnd extends GroupEnd {
  readonly durationMs: number
  /** Oldest first. */
  readonly lastLines: readonly string[]
}

const LAST_LINES = 3

/** Throws ERR_SI_PROGRAM_*, ERR_SI_ABORTED; `onLog` was called then, too. */
export async function runScript(
  { stage, number, script }: ScriptToRun,
  start: StartScript,
  how: Omit<GroupOptions, 'onOutput' | 'cwd'> & {
    readonly progress: Progress
    readonly onLog: (log: ScriptLog) => Promise<void>
  },
): Promise<ScriptEnd> {
  const { env, timeLimitMs, signal, progress } = how
  const file = fileName(script)
  const output = createScriptOutput((line) => progress.note(`${file}: ${line}`))
  progress.update({ phase: `${stage} script ${file}`, doneBytes: 0, totalBytes: undefined })
  const startedAt = new Date().toISOString()
  const startMs = performance.now()
  let ending = ''
  try {
    const end = await inFolderOfItsOwn(script, (folder) =>
      start(
        { interpreter: parseInterpreter(script), folder, file },
        { env, cwd: '/', timeLimitMs, onOutput: output.add, signal },
      ),
    )
    output.end()
    ending = `exit status ${end.exitCode}${end.isTimedOut ? ', ended at its time limit' : ''}`
    if (end.hadLeftovers) progress.note(`${file}: what it left running was ended`)
    const durationMs = Math.round(performance.now() - startMs)
    return { ...end, durationMs, lastLines: output.lastLines(LAST_LINES) }
  } catch (error) {
    ending = messageOf(error)
    throw error
  } finally {
    const text = `# ${stage} script ${script.name}, ${startedAt}\n${output.kept()}# ${ending}\n`
    await how.onLog({ name: `${stage}-${number}-${file}.log`, text })
  }
}

/** The last part of its path, with nothing in it that a file system or a terminal minds. */
export function fileName({ name }: Pick<Script, 'name'>): string {
  const last = name.split('/').findLast((part) => part !== '') ?? ''
  const plain = last.replace(/[^A-Za-z0-9._-]/g, '_').slice(-100)
  return plain === '' || plain.startsWith('.') ? `script${plain}` : plain
}

async function inFolderOfItsOwn<T>(
  script: Script,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(RUN_DIRECTORY, { recursive: true })
  const folder = await mkdtemp(join(RUN_DIRECTORY, 'script-'))
  try {
    await chmod(folder, 0o700)
    await writeFile(join(folder, fileName(script)), script.text, { mode: 0o700 })
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
