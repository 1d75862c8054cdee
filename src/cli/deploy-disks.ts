// What si-deploy fills, and the question before it is erased. Invariant: no disk is erased whose name was not said twice.
import { readFile } from 'node:fs/promises'
import { messageOf, SiError } from '../core/core.ts'
import type { DeployOptions, DeployPlan } from '../deploy/deploy.ts'
import { writeJson, type Io } from './io.ts'

export interface TargetFlags {
  readonly root?: string
  readonly disk: readonly string[]
  readonly layout?: string
  readonly confirm: readonly string[]
  readonly json?: true
}

/** Throws ERR_SI_USAGE, ERR_SI_NOT_CONFIRMED, ERR_SI_CONFIGURATION. */
export async function toTarget(flags: TargetFlags): Promise<DeployOptions['target']> {
  const isDisk = flags.disk.length > 0 || flags.layout !== undefined
  if (isDisk === (flags.root !== undefined)) {
    throw new SiError('ERR_SI_USAGE', 'Name either --disk DEVICE, --layout FILE, or --root DIR', {
      hint: 'Run si-deploy --help for examples',
    })
  }
  if (flags.root !== undefined) return { type: 'root', directory: flags.root }
  const devices = flags.disk.filter((device) => device !== 'auto')
  const other = flags.confirm.find((device) => devices.length > 0 && !devices.includes(device))
  if (other !== undefined) {
    throw new SiError(
      'ERR_SI_NOT_CONFIRMED',
      `--confirm names ${other}, but --disk names ${devices.join(', ')}`,
      { hint: 'Give --confirm the very same devices' },
    )
  }
  if (flags.layout === undefined) return { type: 'disk', devices }
  return { type: 'disk', devices, layout: await readLayoutFile(flags.layout) }
}

/** Before anything else is done: a wrong path should not wait for the image's manifest. */
async function readLayoutFile(file: string): Promise<{ file: string; text: string }> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read ${file}: ${messageOf(cause)}`, {
      hint: 'Check the path of the layout file',
      cause,
    })
  })
  return { file, text }
}

export function printPlan(plan: DeployPlan, text: string, flags: TargetFlags, io: Io): void {
  if (flags.json) writeJson(io, { type: 'plan', plan })
  else io.stdout.write(`${text}\n`)
}

/** What erases disks wants their names: from --confirm, or typed by the person who sees the plan. */
export async function confirmPlan(
  plan: DeployPlan,
  text: string,
  flags: TargetFlags,
  io: Io,
): Promise<void> {
  if (plan.kind === 'root') return
  const given = flags.disk.filter((device) => device !== 'auto')
  // As they were given (/dev/disk/by-id/…), or as they are called.
  const names = plan.disks.map(({ device }, index) => given[index] ?? device)
  const missing = names.filter(
    (name, index) =>
      !flags.confirm.includes(name) && !flags.confirm.includes(plan.disks[index]?.device ?? ''),
  )
  const other = flags.confirm.find(
    (name) => !names.includes(name) && !plan.disks.some(({ device }) => device === name),
  )
  if (missing.length === 0 && other === undefined) return
  const all = names.join(' ')
  const hint = `Add ${names.map((name) => `--confirm ${name}`).join(' ')} to erase ${names.length === 1 ? 'it' : 'them'}`
  if (other !== undefined) {
    const message = `--confirm names ${other}, but the plan is for ${names.join(', ')}`
    throw new SiError('ERR_SI_NOT_CONFIRMED', message, { hint })
  }
  io.stderr.write(`${text}\n`)
  const answer = await io.ask?.(
    `Type ${all} to erase ${names.length === 1 ? 'it' : 'them'}: `,
    io.signal,
  )
  if (
    answer
      ?.trim()
      .split(/[\s,]+/)
      .join(' ') === all
  )
    return
  throw new SiError(
    'ERR_SI_NOT_CONFIRMED',
    `Nothing was written to ${names.join(', ')}: not confirmed`,
    {
      hint,
    },
  )
}
