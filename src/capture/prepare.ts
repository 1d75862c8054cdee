// What comes before the first byte of an archive: probe, rules, list of files, selection. Invariant: it
// changes nothing, neither on the golden client nor in the repository.
import { createReadStream } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { isSiError, messageOf, SiError, type Progress } from '../core/core.ts'
import { readManifestHeader, type KeptRules } from '../image/image.ts'
import type { ImageName, Repository } from '../repository/repository.ts'
import { createFilter, parseRule, type RuleText } from './filter-rules.ts'
import { createGoldenClient, type CaptureSource, type GoldenClient } from './golden-client.ts'
import type { FileList } from './file-list.ts'
import { listFiles } from './list-files.ts'
import { planCapture, type CapturePlan } from './plan.ts'
import { probe } from './probe.ts'
import { selectFiles, type Selection } from './selection.ts'

export interface SelectionOptions {
  readonly source: CaptureSource
  readonly repository: Repository
  readonly name: ImageName
  /**
   * Rules as rsync writes them; one without prefix leaves out, `!` empties the list before it. When
   * there are none and the default list applies, those of the image's last version are taken over.
   */
  readonly excludes: readonly string[]
  /** Also leave out DEFAULT_EXCLUDES and every lost+found. */
  readonly useDefaultExcludes: boolean
  /** Mount points whose network, memory or removable file systems are captured, too. */
  readonly mountPoints?: readonly string[]
}

export interface Preparation {
  readonly client: GoldenClient
  readonly plan: CapturePlan
  readonly list: FileList
  readonly selection: Selection
  /** For the next capture of the image; undefined: it begins with the default list. */
  readonly keptRules: KeptRules | undefined
  readonly notes: readonly string[]
  /** True when something of the tree could not be read. */
  readonly isPartial: boolean
}

/** Throws ERR_SI_GOLDEN_CLIENT, ERR_SI_CAPTURE, ERR_SI_USAGE, ERR_SI_ABORTED. */
export async function prepareCapture(
  options: SelectionOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<Preparation> {
  const said = parseRules(options.excludes)
  const client = createGoldenClient(await locate(options.source))
  progress.update({ phase: 'probing', doneBytes: 0, totalBytes: undefined })
  const facts = await probe(client, signal)
  const isSaid = options.excludes.length > 0 || !options.useDefaultExcludes
  const own = { rules: said, useDefaults: options.useDefaultExcludes }
  const kept = isSaid ? undefined : await rulesOfLatest(options)
  const rules = kept ?? own
  const plan = planCapture(facts, {
    root: client.root,
    rules: rules.rules,
    useDefaultExcludes: rules.useDefaults,
    mountPoints: options.mountPoints ?? [],
    repositoryDirectory:
      options.source.type === 'root' ? await resolveExisting(options.repository.directory) : null,
  })
  progress.update({ phase: 'listing files', doneBytes: 0, totalBytes: undefined })
  const { list, unread } = await listFiles(client, plan.captured.mountPoints, signal)
  const selection = selectFiles(list, createFilter(plan.excludes))
  const takenOver = kept !== undefined && (kept.rules.length > 0 || !kept.useDefaults)
  const notes = [
    ...(takenOver ? ['The exclude list of the last version is used again'] : []),
    ...plan.notes,
    ...socketNotes(selection),
    ...unread,
  ]
  notes.forEach((note) => progress.note(note))
  const keptRules = isImport(options.source) ? await rulesOfLatest(options) : rules
  return { client, plan, list, selection, keptRules, notes, isPartial: unread.length > 0 }
}

/**
 * What is in an archive is wanted, so imports leave nothing out; rules for machines pass through them to the next
 * capture, which must not get /proc because of an archive.
 */
export function isImport(source: CaptureSource): boolean {
  return source.type === 'root' && source.describedAs !== undefined
}

function parseRules(texts: readonly string[]): RuleText[] {
  const rules: RuleText[] = []
  for (const text of texts) {
    const rule = parseRule(text, '-')
    if (rule === undefined) rules.length = 0
    else rules.push(rule)
  }
  return rules
}

async function rulesOfLatest(options: SelectionOptions): Promise<KeptRules | undefined> {
  try {
    const { manifestPath } = await options.repository.open(options.name)
    return (await readManifestHeader(createReadStream(manifestPath))).keptRules
  } catch (error) {
    // A damaged version stops no new one; neither does one of a newer program.
    if (isSiError(error, 'ERR_SI_IMAGE_NOT_FOUND')) return undefined
    if (isSiError(error, 'ERR_SI_MANIFEST_FORMAT')) return undefined
    throw error
  }
}

function socketNotes({ socketCount, sockets }: Selection): string[] {
  if (socketCount === 0) return []
  const names = socketCount > sockets.length ? [...sockets, '…'] : sockets
  const what =
    socketCount === 1
      ? '1 socket is left out, which belongs to a running program'
      : `${socketCount} sockets are left out, which belong to running programs`
  return [`${what}: ${names.join(' ')}`]
}

/** A local tree by its real path, because mount points are compared with it. */
async function locate(source: CaptureSource): Promise<CaptureSource> {
  if (source.type === 'ssh') return source
  const refuse = (why: string, cause?: unknown) =>
    new SiError('ERR_SI_GOLDEN_CLIENT', `Cannot capture ${source.directory}: ${why}`, { cause })
  let directory
  try {
    directory = await realpath(source.directory)
    if ((await stat(directory)).isDirectory()) return { type: 'root', directory }
  } catch (error) {
    throw refuse(messageOf(error), error)
  }
  throw refuse('it is no directory')
}

async function resolveExisting(path: string): Promise<string> {
  return realpath(path).catch(() => path) // not created yet: nothing to leave out
}
