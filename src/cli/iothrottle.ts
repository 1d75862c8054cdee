// si-iothrottle: a command, or a process that runs, whose disk I/O is limited by the kernel. Invariant: the command takes this process's
// place, so that its number, terminal, signals and exit status are its own.
import { InvalidArgumentError, Option, type Command } from 'commander'
import {
  errnoOf,
  formatRate,
  formatDuration,
  formatSize,
  messageOf,
  SiError,
} from '../core/core.ts'
import type { IoDevice, IoLimits } from '../host/host.ts'
import type { GroupStatistics, IoRate, LimitedProcess } from '../throttle/throttle.ts'
import { collect, jsonOption } from './arguments.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_NOT_FOUND, EXIT_NOT_RUNNABLE } from './exit-code.ts'
import { writeJson, type Io } from './io.ts'

interface Flags {
  readonly read?: string
  readonly write?: string
  readonly device: readonly string[]
  readonly pid?: number
  readonly stat?: true
  readonly quiet?: true
  readonly json?: true
}

export function createIothrottleCommand(io: Io, outcome: Outcome): Command {
  return createCommand({
    name: 'iothrottle',
    summary:
      'Limit the disk I/O of a command, or of a process that runs, with all of their children',
    examples: [
      'si-iothrottle 5MiB/s tar -cf /backup/home.tar /home    reads and writes, 5 MiB/s each',
      'si-iothrottle 10240 updatedb                           512-byte sectors per second, as in 2008: 5 MiB/s',
      'si-iothrottle --read 20MiB/s,200iops rsync -a /srv /mnt',
      'si-iothrottle -p 4711 2MiB/s                           a process that runs, from now on',
      'si-iothrottle -p 4711 0                                and without a limit again',
      'si-iothrottle --stat                                   limits, bytes and delays of all',
    ],
    exitCodes: [0, 1, 2, 126, 127],
  })
    .argument('[rate]', 'for reads and for writes, unless --read or --write is given')
    .argument('[command...]', 'with its arguments')
    .addOption(new Option('--read <rate>', 'limit reads only, or other than writes'))
    .addOption(new Option('--write <rate>', 'limit writes only, or other than reads'))
    .addOption(
      new Option('--device <path>', 'a disk, or a path on it; may be repeated')
        .argParser(collect)
        .default([], 'all'),
    )
    .addOption(new Option('-p, --pid <pid>', 'a process that runs').argParser(parsePid))
    .option('--stat', 'show limits, bytes moved and delays; of one with -p')
    .option('-q, --quiet', 'do not say what is limited, and how')
    .addOption(jsonOption())
    .passThroughOptions()
    .addHelpText(
      'after',
      `
The exit status is the command's own.
Rates: 5MiB/s, 200iops, both by comma, 0 or unlimited; each holds for each disk, reads and writes by themselves.`,
    )
    .action((rate: string | undefined, words: readonly string[], flags: Flags) =>
      runIothrottle([...(rate === undefined ? [] : [rate]), ...words], flags, { io, outcome }),
    )
}

interface Context {
  readonly io: Io
  readonly outcome: Outcome
}

async function runIothrottle(
  words: readonly string[],
  flags: Flags,
  { io, outcome }: Context,
): Promise<void> {
  if (flags.stat) return await showStatistics(words, flags, io)
  const { limits, command } = await readWords(words, flags)
  const { findProgram, replaceProcess } = await import('../host/host.ts')
  const { limitProcess } = await import('../throttle/throttle.ts')
  const [name] = command
  if (flags.pid !== undefined) {
    if (name !== undefined)
      throw usage(`-p ${flags.pid} and the command ${name} contradict each other`)
  } else if (name === undefined) throw usage('There is neither a command nor -p PID')
  let file: string | undefined
  try {
    file = name === undefined ? undefined : findProgram(name)
  } catch (error) {
    const isMissing = errnoOf(error) === 'ENOENT'
    io.stderr.write(`error: Cannot run ${name}: ${isMissing ? 'not found' : messageOf(error)}\n`)
    outcome.exitCode = isMissing ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE
    return
  }
  const devices = await devicesFrom(flags.device)
  const limited = await limitProcess(flags.pid ?? process.pid, { limits, devices })
  if (!flags.quiet) report(limited, { limits, devices, flags, io })
  if (file !== undefined) replaceProcess(file, command)
}

/** The rate stands first unless options give it. Throws ERR_SI_USAGE. */
async function readWords(
  words: readonly string[],
  { read, write }: Flags,
): Promise<{ readonly limits: IoLimits; readonly command: readonly string[] }> {
  const { parseIoRate, toIoLimits, UNLIMITED } = await import('../throttle/throttle.ts')
  const parse = (text: string | undefined): IoRate =>
    text === undefined ? UNLIMITED : parseIoRate(text)
  if (read !== undefined || write !== undefined) {
    return { limits: toIoLimits(parse(read), parse(write)), command: words }
  }
  const [first, ...command] = words
  if (first === undefined) throw usage('No rate is given')
  const rate = parseIoRate(first)
  return { limits: toIoLimits(rate, rate), command }
}

function usage(message: string): SiError {
  return new SiError('ERR_SI_USAGE', message, { hint: 'Run si-iothrottle --help for examples' })
}

async function devicesFrom(paths: readonly string[]): Promise<readonly IoDevice[]> {
  const { findIoDevice, listIoDevices } = await import('../host/host.ts')
  return paths.length === 0 ? await listIoDevices() : await Promise.all(paths.map(findIoDevice))
}

interface Said {
  readonly limits: IoLimits
  readonly devices: readonly IoDevice[]
  readonly flags: Flags
  readonly io: Io
}

const BEYOND = {
  'cgroup v1': 'what is written through the page cache, which cgroup v2 alone can limit',
  'cgroup v2': 'nothing on these disks, but sync may wait for what is written slowly',
} as const

function report(limited: LimitedProcess, { limits, devices, flags, io }: Said): void {
  const { mechanism, directory, processCount } = limited
  if (flags.json) {
    const where = devices.map(({ name }) => name)
    writeJson(io, { type: 'limited', mechanism, directory, processCount, devices: where, limits })
    return
  }
  const names = devices.map(({ name }) => name)
  const where = names.length > 6 ? `${names.length} devices` : names.join(', ')
  io.stderr.write(
    `si-iothrottle: ${formatLimits(limits)} on ${where} (${mechanism}, ${directory})\n`,
  )
  io.stderr.write(`si-iothrottle: not limited: network file systems, and ${BEYOND[mechanism]}\n`)
}

function formatLimits(limits: IoLimits): string {
  const one = (bytes: number, requests: number) =>
    [
      ...(bytes === Infinity ? [] : [formatRate(bytes)]),
      ...(requests === Infinity ? [] : [`${requests} IOPS`]),
    ].join(' and ') || 'unlimited'
  const reads = one(limits.readBytesPerSecond, limits.readsPerSecond)
  const writes = one(limits.writeBytesPerSecond, limits.writesPerSecond)
  return reads === writes ? `reads and writes ${reads}` : `reads ${reads}, writes ${writes}`
}

async function showStatistics(words: readonly string[], flags: Flags, io: Io): Promise<void> {
  if (words.length > 0) throw usage(`--stat takes no rate and no command: ${words.join(' ')}`)
  const { ioStatistics } = await import('../throttle/throttle.ts')
  const { listIoDevices } = await import('../host/host.ts')
  const groups = await ioStatistics(flags.pid)
  const names = new Map((await listIoDevices()).map(({ number, name }) => [number, name]))
  if (groups.length === 0) io.stderr.write('si-iothrottle: nothing is limited\n')
  for (const group of groups) {
    if (flags.json) {
      const limits = Object.fromEntries(group.limits)
      writeJson(io, { type: 'statistics', ...group, limits, pressure: group.pressure ?? null })
    } else io.stdout.write(formatStatistics(group, names))
  }
}

function formatStatistics(group: GroupStatistics, names: ReadonlyMap<string, string>): string {
  const { directory, processes, counts, limits, delayMs, pressure } = group
  const shown = processes.slice(0, 8).join(' ') + (processes.length > 8 ? ' …' : '')
  const rows = counts.map(({ device, readBytes, writtenBytes, reads, writes }) => {
    const limit = limits.get(device)
    const what = limit === undefined ? 'unlimited' : formatLimits(limit)
    return (
      `  ${names.get(device) ?? device}: read ${formatSize(readBytes)} in ${reads}, ` +
      `written ${formatSize(writtenBytes)} in ${writes}; ${what}\n`
    )
  })
  const waits = `  waited ${formatDuration(delayMs)} for disks\n`
  const stalls = pressure === undefined ? '' : `  ${pressure.replaceAll('\n', '\n  ')}\n`
  return `${directory}: processes ${shown || 'none'}\n${rows.join('')}${waits}${stalls}`
}

function parsePid(text: string): number {
  const pid = Number(text)
  if (Number.isInteger(pid) && pid > 0) return pid
  throw new InvalidArgumentError('It must be the number of a process.')
}
