// The process: signals, configuration file, the one place that exits. Everything else returns or throws.
import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { errnoOf, isSiError, messageOf, SiError } from '../core/core.ts'
import { askOnTerminal } from './ask.ts'
import { exitCodeOf } from './exit-code.ts'
import { outputClosed, type Io } from './io.ts'
import { runProgram, settingNames } from './program.ts'
import { toSystemError } from './system-error.ts'

const DEFAULT_CONFIGURATION_FILE = '/etc/swarmimager/swarmimager.conf'

/**
 * Settings are SI_* variables: of the environment, else of the configuration file (KEY=VALUE lines),
 * so that flag > environment > file > default holds for every option alike.
 */
function loadConfiguration(): void {
  const chosen = process.env['SI_CONFIG']
  let text: string
  try {
    text = readFileSync(chosen ?? DEFAULT_CONFIGURATION_FILE, 'utf8')
  } catch (error) {
    if (chosen === undefined && errnoOf(error) === 'ENOENT') return
    throw new SiError('ERR_SI_USAGE', `Cannot read configuration file: ${messageOf(error)}`, {
      hint: 'Make the file readable, or name another one in SI_CONFIG',
    })
  }
  const settings = settingNames()
  for (const [key, value] of Object.entries(parseEnv(text))) {
    if (settings.has(key)) process.env[key] ??= value
    else
      process.stderr.write(
        `warning: ${chosen ?? DEFAULT_CONFIGURATION_FILE}: ${key} is no setting\n`,
      )
  }
}

/** Under npm and sudo one Ctrl-C arrives twice, from the terminal and from them. */
const SAME_KEY_MS = 500

/** The first Ctrl-C or SIGTERM cancels and cleans up, the second ends at once. */
function cancelOnSignals(controller: AbortController): Pick<Io, 'onHangUp'> {
  let firstMs = 0
  let onHangUp: (() => void) | undefined
  const onSignal = (name: string) => {
    if (name === 'SIGHUP' && onHangUp !== undefined) return onHangUp()
    if (controller.signal.aborted) {
      if (performance.now() - firstMs > SAME_KEY_MS) process.exit(130)
      return
    }
    firstMs = performance.now()
    process.stderr.write(`\n${name}: stopping; once more to end at once\n`)
    controller.abort(new SiError('ERR_SI_ABORTED', 'Interrupted'))
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal)
  return { onHangUp: (listener) => (onHangUp = listener) }
}

/**
 * A reader that goes away (`si-lsimage | head -1`) is no fault, but it ends the work it was to hear of,
 * with all that has to be cleaned up. Nobody has to hear progress and notes.
 */
function cancelOnLostOutput(controller: AbortController): void {
  process.stdout.on('error', (error) => {
    const isFault = errnoOf(error) !== 'EPIPE'
    if (isFault) {
      process.exitCode = 1
      process.stderr.write(`error: Cannot write the result: ${error.message}\n`)
    }
    controller.abort(outputClosed(error))
  })
  process.stderr.on('error', () => {})
}

function printError(error: unknown): void {
  if (isSiError(error, 'ERR_SI_ABORTED') && errnoOf(error.cause) === 'EPIPE') return
  if (isSiError(error)) {
    process.stderr.write(`error: ${error.message}\n`)
    if (error.hint !== undefined) process.stderr.write(`hint: ${error.hint}\n`)
    if (process.env['SI_DEBUG'] !== undefined) process.stderr.write(`${error.stack ?? ''}\n`)
  } else {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.stderr.write(`error: internal fault, please report it: ${stack}\n`)
  }
}

async function main(): Promise<number> {
  const controller = new AbortController()
  const { signal } = controller
  const { onHangUp } = cancelOnSignals(controller)
  cancelOnLostOutput(controller)
  const terminal = { input: process.stdin, output: process.stderr }
  const io: Io = {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin.isTTY ? undefined : process.stdin,
    ask: process.stdin.isTTY ? (...args) => askOnTerminal(terminal, ...args) : undefined,
    ...{ signal, onHangUp },
  }
  try {
    loadConfiguration()
    return await runProgram(process.argv.slice(2), io)
  } catch (thrown) {
    const error = toSystemError(thrown) ?? thrown
    printError(error)
    return signal.aborted && isSiError(error, 'ERR_SI_ABORTED') ? 130 : exitCodeOf(error)
  }
}

const exitCode = await main()
// Streams to a pipe are asynchronous: leaving before they drain would cut the result short.
await new Promise((resolve) => process.stdout.write('', resolve))
process.exit(exitCode === 0 ? process.exitCode : exitCode)
