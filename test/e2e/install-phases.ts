// How long each part of an unattended installation took, by what the machine wrote to its console and when it was there to be read.
import { type Machine } from '../lab/lab.ts'

/** A part of the installation, and the first words after it. */
interface Mark {
  readonly phase: string
  readonly endsWith: RegExp
}

const MARKS: readonly Mark[] = [
  { phase: 'firmware, iPXE', endsWith: /SwarmImager: installing \S+ on \S+/ },
  { phase: 'initramfs load', endsWith: /Linux version \d/ },
  { phase: 'kernel, orders', endsWith: /si: installing http/ },
  { phase: 'partition, mkfs', endsWith: /si: writing / },
  { phase: 'transfer', endsWith: /si: finishing/ },
  { phase: 'finish', endsWith: /si: \S+ is installed/ },
]

export interface PhaseTime {
  readonly phase: string
  readonly durationMs: number
}

/** Follows a machine until it has installed itself. Each part has `deadlineMs`. */
export async function followInstallation(
  machine: Machine,
  deadlineMs: number,
): Promise<readonly PhaseTime[]> {
  const times: PhaseTime[] = []
  let startMs = performance.now()
  for (const { phase, endsWith } of MARKS) {
    await machine.console.waitFor(endsWith, deadlineMs)
    const nowMs = performance.now()
    times.push({ phase, durationMs: nowMs - startMs })
    startMs = nowMs
  }
  return times
}

export interface PhaseColumn {
  readonly name: string
  readonly times: readonly PhaseTime[]
}

/** A table in Markdown: a line for each phase, seconds for each machine. */
export function formatPhases(columns: readonly PhaseColumn[]): string[] {
  const phases = columns[0]?.times.map(({ phase }) => phase) ?? []
  const seconds = (ms: number | undefined) => (ms === undefined ? '' : (ms / 1000).toFixed(0))
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const total = ({ times }: PhaseColumn) => times.reduce((sum, time) => sum + time.durationMs, 0)
  return [
    row(['seconds', ...columns.map(({ name }) => name)]),
    row(['---', ...columns.map(() => '--:')]),
    ...phases.map((phase, index) =>
      row([phase, ...columns.map(({ times }) => seconds(times[index]?.durationMs))]),
    ),
    row(['all', ...columns.map((column) => seconds(total(column)))]),
  ]
}
