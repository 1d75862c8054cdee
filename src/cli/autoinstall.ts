// si-autoinstall: the program of the initramfs, started by its /init on a machine that nobody watches. It ends as the
// parameters say: reboot, power off, the installed kernel, a shell. Invariant: it does nothing on a machine that runs from its own disk.
import { readFile, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { exists, formatDuration, isSiError, messageOf, SiError } from '../core/core.ts'
import { openWatchdog, readKernelCommandLine, readUptimeSeconds, run, start } from '../host/host.ts'
import type { After, NodeParameters, Reporter } from '../netboot/netboot.ts'
import { openMachineConsole, type MachineConsole } from './autoinstall-console.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand } from './command.ts'
import type { Io } from './io.ts'
import { readVersion } from './version.ts'
import type { Command } from 'commander'

/** In the initramfs: when it was made, in seconds since 1970. It is what tells an initramfs of ours. */
const MADE_FILE = '/etc/swarmimager/made'
const LOCAL_CONFIGURATION = '/etc/swarmimager/local.cfg'
const TRUST_FILE = '/etc/swarmimager/pki/ca.pem'
/** For the timer of /init: the uptime of the last sign of life, and how long it may stay away, in seconds. */
const ALIVE_FILE = '/run/swarmimager/alive'
const PATIENCE_FILE = '/run/swarmimager/patience'
const ALIVE_INTERVAL_MS = 5000
const MOST_THREADS = 4
/** How long the server may take to hear of a failure before the machine goes on. */
const FIRST_TRY_MS = 15_000

export function createAutoinstallCommand(io: Io): Command {
  return createCommand({
    name: 'autoinstall',
    summary:
      'Install this machine as its kernel parameters say; only for the initramfs of si-mkautoinstall',
    examples: ['si-autoinstall   as /init of that initramfs does'],
    exitCodes: [0, 1, 2],
  }).action(() => runAutoinstall(io))
}

/** What is known of the installation so far, for its end. */
interface Course {
  parameters: NodeParameters | undefined
  reporter: Reporter | undefined
}

async function runAutoinstall(io: Io): Promise<void> {
  if (!(await exists(MADE_FILE))) {
    throw new SiError('ERR_SI_USAGE', 'This is no initramfs of si-mkautoinstall', {
      hint: 'Boot the machine from the network, or run si-deploy',
    })
  }
  const machine = await openMachineConsole(io)
  const made = new Date(1000 * Number(await readFile(MADE_FILE, 'utf8')))
  const what = `SwarmImager ${readVersion()}, boot files of ${made.toISOString()}`
  machine.io.stderr.write(`si: ${what}\n`)
  const course: Course = { parameters: undefined, reporter: undefined }
  const stopSigns = await giveSignsOfLife(machine.io)
  const ending = await installAndReport(machine, course, made.getTime())
  if (ending === 'shell') await openShell(io, 'after it the machine reboots')
  const words = { reboot: 'reboot', shell: 'reboot', poweroff: 'power off', kexec: 'kexec' }
  machine.io.stderr.write(`si: ${words[ending]}\n`)
  await course.reporter?.flush()
  await stopSigns()
  await endAs(ending)
}

type Ending = Exclude<After, 'seed'>

async function installAndReport(
  machine: MachineConsole,
  course: Course,
  madeMs: number,
): Promise<Ending> {
  const { io } = machine
  const progress = createCommandProgress(io, { command: 'si', json: false })
  const { autoinstall } = await import('../netboot/netboot.ts')
  const threads = Math.min(MOST_THREADS, availableParallelism())
  const commandLine = await readKernelCommandLine()
  const localConfiguration = await readFile(LOCAL_CONFIGURATION, 'utf8').catch(() => undefined)
  const trustFiles = (await exists(TRUST_FILE)) ? [TRUST_FILE] : []
  try {
    const after = await autoinstall(
      {
        ...{ sources: { commandLine, localConfiguration }, madeMs, trustFiles, threads },
      },
      {
        progress,
        shell: (reason) => openShell(io, reason),
        async onParameters(parameters) {
          course.parameters = parameters
          await writeFile(PATIENCE_FILE, `${patienceSeconds(parameters)}\n`)
        },
        onReporter(reporter) {
          course.reporter = reporter
          machine.sendTo(reporter)
        },
      },
      io.signal,
    )
    return after === 'seed' ? 'reboot' : after
  } catch (error) {
    return await fail(error, { io, course })
  } finally {
    progress.end()
  }
}

/** 0: the timer of /init is off. */
function patienceSeconds({ watchdog }: NodeParameters): number {
  return Number.isFinite(watchdog) ? Math.ceil(watchdog / 1000) : 0
}

/** Shows and reports what went wrong, and waits as the parameters say. */
async function fail(
  error: unknown,
  { io, course }: { readonly io: Io; readonly course: Course },
): Promise<Ending> {
  const { inParameters } = await import('../netboot/netboot.ts')
  const hint = isSiError(error) && error.hint ? inParameters(error.hint) : undefined
  io.stderr.write(`\nsi: FAILED: ${messageOf(error)}\n`)
  if (hint !== undefined) io.stderr.write(`si: ${hint}\n`)
  if (!isSiError(error) && error instanceof Error) io.stderr.write(`${error.stack ?? ''}\n`)
  const message = messageOf(error)
  const code = isSiError(error) ? error.code : undefined
  const { parameters, reporter } = course
  const { FAILED_PHASE } = await import('../cluster/cluster.ts')
  const what = { phase: FAILED_PHASE, percent: null, message, error: message, code, hint }
  const delivery = reporter?.deliver(what)
  const first = delay(FIRST_TRY_MS, undefined, { signal: io.signal })
  await Promise.race([delivery, first]) // and on, as long as the failure is shown
  if (parameters?.shell === true) return 'shell'
  const { failure = 'reboot', 'failure-delay': delayMs = 300_000 } = parameters ?? {}
  if (failure === 'shell') return 'shell'
  if (failure === 'wait' || delayMs === Infinity) {
    io.stderr.write('si: waiting for somebody to switch this machine off or on\n')
    await delay(2 ** 31 - 1, undefined, { signal: io.signal })
  }
  io.stderr.write(`si: ${failure} in ${formatDuration(delayMs)}; si.shell gives a shell instead\n`)
  await delay(delayMs, undefined, { signal: io.signal })
  return failure === 'poweroff' ? 'poweroff' : 'reboot'
}

/** As long as this process is well, people at its shells included, /init and the kernel's watchdog leave the machine alone. */
async function giveSignsOfLife(io: Io): Promise<() => Promise<void>> {
  await run('modprobe', ['--quiet', 'softdog'], { okExitCodes: [0, 1] })
  const watchdog = await openWatchdog()
  if (watchdog === undefined) {
    io.stderr.write('si: this machine has no watchdog: only the timer of /init ends a hang\n')
  }
  const sign = async () => {
    await writeFile(ALIVE_FILE, `${Math.floor(await readUptimeSeconds())}\n`)
    await watchdog?.keepAlive()
  }
  await sign()
  const timer = setInterval(() => void sign().catch(() => {}), ALIVE_INTERVAL_MS)
  return async () => {
    clearInterval(timer)
    await watchdog?.close()
  }
}

async function openShell(io: Io, reason: string): Promise<number> {
  io.stderr.write(`si: a shell (${reason}); "exit" goes on\n`)
  const shell = start('setsid', ['-c', 'sh', '-i'], { stdio: 'inherit', signal: io.signal })
  return (await shell.exited).exitCode
}

async function endAs(ending: Ending): Promise<void> {
  await run('sync', [])
  if (ending === 'kexec') await run('kexec', ['--exec']).catch(() => {})
  await run(ending === 'poweroff' ? 'poweroff' : 'reboot', ['-f'])
  // The kernel takes a moment; /init would take the end of this program for a crash.
  await delay(60_000)
}
