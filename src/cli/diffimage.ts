// si-diffimage: what one image has that another has not.
import { formatBytesForPeople, formatSize } from '../core/core.ts'
import type { Change, Difference, EntryFacts, ImageDiff } from '../image/image.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommand } from './command.ts'
import { formatMode, formatTime } from './file-words.ts'
import { writeJson, type Io } from './io.ts'
import type { Command } from 'commander'

interface DiffimageOptions {
  readonly repository: string
  readonly stat?: true
  readonly json?: true
}

export function createDiffimageCommand(io: Io): Command {
  return createCommand({
    name: 'diffimage',
    summary: 'Show what differs between two images',
    examples: [
      'si-diffimage web/3 web/4          + added, - removed, ~ changed and what of it',
      'si-diffimage web/3 web            against the latest version',
      'si-diffimage web/3 shop --stat    numbers only',
    ],
    exitCodes: [0, 1, 2, 10, 12, 130],
  })
    .argument('<before>', 'NAME or NAME/VERSION; without version the latest')
    .argument('<after>', 'likewise')
    .option('--stat', 'only how many files and bytes')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .action((before: string, after: string, options: DiffimageOptions) =>
      runDiffimage(before, after, { options, io }),
    )
}

async function runDiffimage(
  before: string,
  after: string,
  { options, io }: { readonly options: DiffimageOptions; readonly io: Io },
): Promise<void> {
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const { diffImages } = await import('../image/image.ts')
  const repository = await openRepository(options.repository)
  const open = (text: string) => {
    const { name, version } = parseImageSpec(text)
    return repository.open(name, version)
  }
  const [a, b] = [await open(before), await open(after)]
  const diff = await diffImages(a, b, io.signal)
  if (!options.stat) {
    const lines = diff.differences.map((difference) =>
      options.json ? JSON.stringify(toJson(difference)) : formatDifference(difference),
    )
    if (lines.length > 0) io.stdout.write(`${lines.join('\n')}\n`)
  }
  const summary = summarise(diff)
  if (options.json) writeJson(io, { type: 'summary', ...summary })
  else (options.stat ? io.stdout : io.stderr).write(formatSummary(summary))
}

function summarise({ differences, unchangedCount, fetchBytes, packBytes }: ImageDiff) {
  const count = (kind: Difference['kind']) => differences.filter((d) => d.kind === kind).length
  return {
    ...{ addedCount: count('added'), removedCount: count('removed') },
    ...{ changedCount: count('changed'), unchangedCount, fetchBytes, packBytes },
  }
}

function formatSummary(summary: ReturnType<typeof summarise>): string {
  const { addedCount, removedCount, changedCount, unchangedCount } = summary
  const percent = ((100 * summary.fetchBytes) / Math.max(1, summary.packBytes)).toFixed(1)
  return (
    `${addedCount} added, ${removedCount} removed, ${changedCount} changed, ` +
    `${unchangedCount} unchanged; ${formatSize(summary.fetchBytes)} to fetch of ` +
    `${formatSize(summary.packBytes)} (${percent} %)\n`
  )
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const

function formatDifference({ kind, path, type, changes, before, after }: Difference): string {
  const name = `${SIGNS[kind]} /${formatBytesForPeople(path)}${type === 'directory' && path.length > 0 ? '/' : ''}`
  if (before === null || after === null) return name
  const words = changes.map((change) => formatChange(change, before, after))
  return `${name}: ${words.join(', ')}`
}

function formatChange(change: Change, before: EntryFacts, after: EntryFacts): string {
  const value = VALUES[change]
  return value === undefined ? change : `${change} ${value(before)} → ${value(after)}`
}

const target = ({ linkTarget }: EntryFacts) =>
  linkTarget === null ? '-' : formatBytesForPeople(linkTarget)

const VALUES: Readonly<Partial<Record<Change, (entry: EntryFacts) => string>>> = {
  type: ({ type }) => type,
  mode: ({ mode }) => formatMode(mode),
  owner: ({ uid, gid }) => `${uid}:${gid}`,
  size: ({ sizeBytes }) => formatSize(sizeBytes),
  mtime: ({ mtimeNs }) => formatTime(mtimeNs),
  link: target,
  device: ({ deviceMajor, deviceMinor }) => `${deviceMajor}:${deviceMinor}`,
}

function toJson({ kind, path, type, sizeBytes, changes, before, after }: Difference) {
  const states = changes.length > 0 && { before: state(before), after: state(after) }
  const bytes = path.toString('utf8').includes('\ufffd') && { pathBase64: path.toString('base64') }
  return { kind, path: `/${path.toString('utf8')}`, ...bytes, type, sizeBytes, changes, ...states }
}

function state(entry: EntryFacts | null) {
  if (entry === null) return null
  const { type, mode, uid, gid, sizeBytes, mtimeNs, linkTarget } = entry
  const link = linkTarget && { linkTarget: linkTarget.toString('utf8') }
  return { type, mode, uid, gid, sizeBytes, mtimeNs: mtimeNs.toString(), ...link }
}
