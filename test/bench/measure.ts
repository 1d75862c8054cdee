// Timing of whole programs, fairly: contestants take turns round by round, medians and ratios are what
// counts, and every figure comes from the operating system's own account of the finished process.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Measurement {
  readonly seconds: number
  /** User and system time of the process and the children it waited for. */
  readonly cpuSeconds: number
  /** Largest resident set of a single process. */
  readonly peakRssBytes: number
}

/** Runs a command under GNU time; throws with its output when it fails. */
export async function measure(command: readonly string[]): Promise<Measurement> {
  const directory = await mkdtemp(join(tmpdir(), 'si-bench-time-'))
  const report = join(directory, 'report')
  try {
    await runQuietly(['time', '--output', report, '--format', '%e %U %S %M', '--', ...command])
    const [seconds, user, system, rssKiB] = (await readFile(report, 'utf8'))
      .trim()
      .split(' ')
      .map(Number) as [number, number, number, number]
    return { seconds, cpuSeconds: user + system, peakRssBytes: rssKiB * 1024 }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A command that takes longer hangs. */
const DEADLINE_MS = 10 * 60_000

/** Runs a command, its output thrown away unless it fails. */
export async function runQuietly(command: readonly string[]): Promise<void> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: DEADLINE_MS })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4000)
    })
  }
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`${command.join(' ')} ended with status ${code}: ${output}`)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export interface Contestant {
  readonly name: string
  /** What a round needs and is not timed. */
  readonly prepare?: (() => Promise<void>) | undefined
  readonly command: readonly string[]
  /** Looks at what the round left behind; not timed. Its figures join the row. */
  readonly inspect?: (() => Promise<Readonly<Record<string, number>>>) | undefined
}

export interface Row {
  readonly name: string
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakRssBytes: number
  /** Median of the per-round ratios of this contestant's seconds to the first contestant's. */
  readonly ratio: number
  readonly extra: Readonly<Record<string, number>>
}

/** Lets the contestants take turns `rounds` times after one round that is not counted. */
export async function compete(
  contestants: readonly Contestant[],
  rounds: number,
): Promise<readonly Row[]> {
  const results = contestants.map((): Measurement[] => [])
  const extras = contestants.map((): Record<string, number>[] => [])
  for (let round = -1; round < rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      await contestant.prepare?.()
      const result = await measure(contestant.command)
      const extra = (await contestant.inspect?.()) ?? {}
      if (round < 0) continue
      results[index]?.push(result)
      extras[index]?.push(extra)
    }
  }
  const baseline = results[0] ?? []
  return contestants.map(({ name }, index) => {
    const own = results[index] ?? []
    const keys = Object.keys(extras[index]?.[0] ?? {})
    return {
      name,
      seconds: median(own.map((r) => r.seconds)),
      cpuSeconds: median(own.map((r) => r.cpuSeconds)),
      peakRssBytes: Math.max(...own.map((r) => r.peakRssBytes)),
      ratio: median(own.map((r, round) => r.seconds / (baseline[round]?.seconds ?? NaN))),
      extra: Object.fromEntries(
        keys.map((key) => [key, median((extras[index] ?? []).map((e) => e[key] ?? NaN))]),
      ),
    }
  })
}
