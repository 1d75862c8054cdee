// si-rmimage: versions leave the repository, named or by rules of retention.
import { SiError } from '../core/core.ts'
import type { ImageFacts, ImageReference, Repository } from '../repository/repository.ts'
import { jsonOption, parseInteger, repositoryOption } from './arguments.ts'
import { createCommand } from './command.ts'
import { confirm } from './confirm.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'
import type { Command } from 'commander'

interface RmimageOptions {
  readonly repository: string
  readonly all?: true
  readonly keepLast?: number
  readonly keepDaily?: number
  readonly keepWeekly?: number
  readonly dryRun?: true
  readonly yes?: true
  readonly json?: true
}

const atLeastOne = parseInteger(1, 1_000_000)

export function createRmimageCommand(io: Io): Command {
  return createCommand({
    name: 'rmimage',
    summary: 'Remove versions of images',
    examples: [
      'si-rmimage web/3 web/4                               two versions',
      'si-rmimage web --all                                 the image with all its versions',
      'si-rmimage web --keep-last 3 --keep-weekly 8         all but those that a rule keeps',
      'si-rmimage --keep-daily 14 --dry-run                 the same for every image: what would go',
    ],
    exitCodes: [0, 1, 2, 10, 11, 130],
  })
    .argument('[images...]', 'NAME/VERSION; NAME with --all or --keep-…')
    .option('--all', 'all versions')
    .option('--keep-last <n>', 'keep the newest n versions', atLeastOne)
    .option('--keep-daily <n>', 'keep the newest version of each of the last n days', atLeastOne)
    .option('--keep-weekly <n>', 'keep the newest version of each of the last n weeks', atLeastOne)
    .option('--dry-run', 'print what would be removed, and stop')
    .option('-y, --yes', 'do not ask')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nRules add up: a version stays when any of them keeps it. What latest points to stays as well,\nunless it is named or --all is given. Days and weeks with versions count, in UTC.',
    )
    .action((images: readonly string[], options: RmimageOptions) => runRmimage(images, options, io))
}

interface Decision {
  readonly image: ImageReference
  readonly isLatest: boolean
  /** Why it stays; empty when it goes. */
  readonly reasons: readonly string[]
}

async function runRmimage(
  specs: readonly string[],
  options: RmimageOptions,
  io: Io,
): Promise<void> {
  const { openRepository } = await import('../repository/repository.ts')
  const repository = await openRepository(options.repository)
  const decisions = hasRules(options)
    ? await decideByRules(repository, specs, options)
    : await decideByName(repository, specs, options)
  const leaving = decisions.filter(({ reasons }) => reasons.length === 0)
  if (options.json) decisions.forEach((decision) => writeJson(io, toJson(decision, options)))
  else io.stdout.write(formatDecisions(decisions, options))
  if (options.dryRun || leaving.length === 0) return
  await confirm(io, options.yes, {
    question: `Remove ${countOf(leaving)}? Type yes: `,
    refused: 'Nothing was removed: not confirmed',
  })
  for (const { image } of leaving) {
    io.signal.throwIfAborted()
    await repository.remove(image)
  }
  await tellLatest(repository, leaving, io)
}

function hasRules(options: RmimageOptions): boolean {
  return [options.keepLast, options.keepDaily, options.keepWeekly].some((n) => n !== undefined)
}

async function decideByName(
  repository: Repository,
  specs: readonly string[],
  options: RmimageOptions,
): Promise<Decision[]> {
  const { parseImageSpec } = await import('../repository/repository.ts')
  if (specs.length === 0) {
    throw new SiError('ERR_SI_USAGE', 'No image is named', {
      hint: 'Name a version such as web/3, or give a rule such as --keep-last 3',
    })
  }
  const images = new Map<string, ImageReference>()
  for (const text of specs) {
    const spec = parseImageSpec(text)
    if (!options.all && !text.includes('/')) throw whichVersion(text)
    const found = options.all
      ? await repository.versions((await repository.open(spec.name, spec.version)).name)
      : [await repository.open(spec.name, spec.version)]
    for (const image of found) images.set(image.directory, image)
  }
  return Promise.all(
    [...images.values()].map(async (image) => ({
      ...{ image, reasons: [] },
      isLatest: (await repository.latest(image.name))?.version === image.version,
    })),
  )
}

function whichVersion(text: string): SiError {
  return new SiError('ERR_SI_USAGE', `Which version of image "${text}" is to be removed?`, {
    hint: `Name one, such as ${text}/VERSION, or give --all or a rule such as --keep-last 3`,
  })
}

async function decideByRules(
  repository: Repository,
  specs: readonly string[],
  options: RmimageOptions,
): Promise<Decision[]> {
  const { parseImageName } = await import('../repository/repository.ts')
  if (options.all)
    throw new SiError('ERR_SI_USAGE', '--all and a rule of what to keep exclude each other')
  const names =
    specs.length > 0 ? specs.map(parseImageName) : (await repository.list()).map((i) => i.name)
  const decisions: Decision[] = []
  for (const name of new Set(names)) {
    await repository.open(name)
    decisions.push(...(await decideVersions(repository, await repository.versions(name), options)))
  }
  return decisions
}

/** Of one image. A damaged version has no date that a rule could go by: it stays until it is named. */
async function decideVersions(
  repository: Repository,
  images: readonly ImageReference[],
  options: RmimageOptions,
): Promise<Decision[]> {
  const { describeImages, planRetention } = await import('../repository/repository.ts')
  const described = await describeImages(images)
  const whole = described.filter((facts): facts is ImageFacts => !('error' in facts))
  const kept = planRetention(
    whole.map(({ image, header }) => ({
      version: image.version,
      createdAt: new Date(header.createdAt),
    })),
    { last: options.keepLast, daily: options.keepDaily, weekly: options.keepWeekly },
  )
  const latest = images[0] && (await repository.latest(images[0].name))
  return described.map((facts) => {
    const { image } = facts
    const isLatest = image.version === latest?.version
    const reasons: string[] = [...(kept.get(image.version) ?? [])]
    if (isLatest) reasons.push('latest')
    if ('error' in facts) reasons.push('damaged')
    return { image, isLatest, reasons }
  })
}

function toJson({ image, isLatest, reasons }: Decision, options: RmimageOptions) {
  const action = reasons.length > 0 ? 'keep' : options.dryRun ? 'would-remove' : 'remove'
  const { name, version, directory } = image
  return { name, version, action, reasons, isLatest, directory }
}

function formatDecisions(decisions: readonly Decision[], options: RmimageOptions): string {
  const remove = options.dryRun ? 'would remove' : 'remove'
  return formatTable(
    decisions.map(({ image, isLatest, reasons }) => [
      reasons.length > 0 ? 'keep' : remove,
      `${image.name}/${image.version}`,
      reasons.length > 0 ? reasons.join(', ') : isLatest ? 'latest points to it' : '',
    ]),
  )
}

function countOf(leaving: readonly Decision[]): string {
  const [first] = leaving
  if (leaving.length === 1 && first) return `${first.image.name}/${first.image.version}`
  return `${leaving.length} versions`
}

async function tellLatest(
  repository: Repository,
  leaving: readonly Decision[],
  io: Io,
): Promise<void> {
  for (const { image, isLatest } of leaving) {
    if (!isLatest) continue
    const now = (await repository.latest(image.name))?.version
    const words = now === undefined ? `no version of ${image.name} is left` : `latest is now ${now}`
    io.stderr.write(`si-rmimage: ${image.name}: ${words}\n`)
  }
}
