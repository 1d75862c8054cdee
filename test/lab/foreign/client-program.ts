// What all drivers share: a program with a port of its own that tells somehow when its download is
// complete. Invariant: whoever waits for a program also hears of its end.
import { createServer } from 'node:net'
import { watch } from 'node:fs'
import { access, chmod, constants, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { SiError } from '../../../src/core/core.ts'
import { startInLab, type LabProgram, type LabProgramOptions } from '../lab-program.ts'
import { waitFor, type Scope } from '../scope.ts'
import { within } from '../within.ts'
import { type ClientProcess, type ClientTask, type GettingClient } from './torrent-client.ts'

/** Checking a few GiB and listening takes less. */
const READY_MS = 120_000

/** Throws ERR_SI_PROGRAM_MISSING, naming the package. */
export async function requireProgram(program: string, packageName: string): Promise<void> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, program)
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return
  }
  throw new SiError('ERR_SI_PROGRAM_MISSING', `Program "${program}" is not installed`, {
    hint: `Install the package ${packageName}`,
  })
}

/** A TCP port that was free just now, at all addresses. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A folder for one program's settings; removed with the scope. */
export async function settingsFolder(scope: Scope, name: string): Promise<string> {
  const parent = join(scope.directory, 'settings')
  await mkdir(parent, { recursive: true })
  return mkdtemp(join(parent, `${name}-`))
}

export interface CompletionHook {
  /** A program that the client runs when it has all pieces; arguments are ignored. */
  readonly path: string
  /** Resolves when it was run. */
  readonly called: Promise<void>
}

/** For clients that can run a program at the end of a download. */
export async function createCompletionHook(folder: string): Promise<CompletionHook> {
  const path = join(folder, 'complete')
  const markFolder = join(folder, 'marks')
  await mkdir(markFolder)
  await writeFile(path, `#!/bin/sh\n: >'${join(markFolder, 'mark')}'\n`)
  await chmod(path, 0o755)
  const called = new Promise<void>((resolve, reject) => {
    const watcher = watch(markFolder, () => {
      watcher.close()
      resolve()
    })
    watcher.on('error', reject).unref()
  })
  return { path, called }
}

interface ClientStart {
  readonly name: string
  readonly task: ClientTask
  readonly command: LabProgramOptions
}

/** A client whose port we chose, and which runs a hook at the end of its download. */
export function startWithHook(
  scope: Scope,
  options: ClientStart & { readonly port: number; readonly hook: CompletionHook },
): Promise<GettingClient> {
  const { name, port, hook } = options
  const listening = async ({ pid }: LabProgram) => {
    await waitFor(`${name}: listening at ${port}`, () => isListening(pid, port), {
      ...{ deadlineMs: READY_MS, signal: scope.signal },
    })
    return port
  }
  return startClient(scope, options, { listening, complete: hook.called })
}

/** A script of ours around a library: it prints `listening PORT`, then `complete`. */
export function startScript(scope: Scope, options: ClientStart): Promise<GettingClient> {
  const listening = Promise.withResolvers<number>()
  const complete = Promise.withResolvers<void>()
  const onLine = (line: string) => {
    const [word, port] = line.split(' ')
    if (word === 'listening') listening.resolve(Number(port))
    if (word === 'complete') complete.resolve()
  }
  const command = { ...options.command, onLine }
  const events = { listening: () => listening.promise, complete: complete.promise }
  return startClient(scope, { ...options, command }, events)
}

interface ClientEvents {
  /** The port, once the program listens. */
  readonly listening: (program: LabProgram) => Promise<number>
  readonly complete: Promise<void>
}

async function startClient(
  scope: Scope,
  options: ClientStart,
  events: ClientEvents,
): Promise<GettingClient> {
  const { name, task, command } = options
  const program = startInLab(scope, name, command)
  const ended = rejectAtEnd(name, program)
  const done = Promise.race([events.complete, ended])
  done.catch(() => {}) // may be awaited later, or never
  const port = await Promise.race([events.listening(program), ended])
  const address = `${task.host}:${port}`
  return { address, pid: program.pid, done, close: () => program.stop() }
}

/** Waits until the program knows that it has all pieces: those of a seeder are there and only checked. */
export async function whenSeeding(client: Promise<GettingClient>): Promise<ClientProcess> {
  const { done, address, pid, close } = await client
  await within(done, `the check of all pieces by ${address}`, READY_MS)
  return { address, pid, close }
}

async function rejectAtEnd(name: string, program: LabProgram): Promise<never> {
  const status = await program.exited
  throw new Error(`${name} ended with status ${status}: ${program.lastWords()}`)
}

/** Whether a socket of the process's network listens at this port; asked without connecting to it. */
async function isListening(pid: number, port: number): Promise<boolean> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => '')),
  )
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .some(([, local, , state]) => local?.endsWith(suffix) === true && state === TCP_LISTEN)
}

/** As in /proc/net/tcp. */
const TCP_LISTEN = '0A'
