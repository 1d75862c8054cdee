// si-exportimage: the tar of an image, one of its files, or a list of them.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { formatBytesForPeople, SiError, throwIfAborted } from '../core/core.ts'
import type { ManifestEntry } from '../image/image.ts'
import type { ImageReference } from '../repository/repository.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand } from './command.ts'
import { formatPermissions, formatTime } from './file-words.ts'
import { writeBytes, writeJson, type Io } from './io.ts'
import type { Command } from 'commander'

interface ExportimageOptions {
  readonly repository: string
  readonly output?: string
  readonly list?: true
  readonly json?: true
}

interface Export {
  readonly image: ImageReference
  readonly path: string | undefined
  readonly options: ExportimageOptions
  readonly io: Io
}

export function createExportimageCommand(io: Io): Command {
  return createCommand({
    name: 'exportimage',
    summary: 'Write the tar of an image, or one of its files',
    examples: [
      'si-exportimage web | tar --extract --xattrs --acls -C /mnt   the whole tree',
      'si-exportimage web/3 --output web.tar                        into a file',
      'si-exportimage web /etc/fstab                                one file',
      'si-exportimage web --list                                    what is in it; a path: only below',
    ],
    exitCodes: [0, 1, 2, 10, 12, 130],
  })
    .argument('<image>', 'NAME or NAME/VERSION; without version the latest')
    .argument('[path]', 'a file of the image')
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .option('--list', 'list files as ls -l does, owners and groups as numbers, times in UTC')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .action(async (spec: string, path: string | undefined, options: ExportimageOptions) => {
      const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
      const { name, version } = parseImageSpec(spec)
      const image = await (await openRepository(options.repository)).open(name, version)
      const request = { image, path, options, io }
      if (options.list) await listFiles(request)
      else if (path === undefined) await exportTar(request)
      else await exportFile(request, path)
    })
}

async function exportTar(request: Export): Promise<void> {
  const { image, options, io } = request
  if (options.output === undefined && io.stdout.isTTY) {
    throw new SiError('ERR_SI_USAGE', 'An archive is not for a terminal', {
      hint: 'Add --output FILE, or pipe it into tar --extract',
    })
  }
  const { PackReader, readManifest } = await import('../image/image.ts')
  const { header, chunks } = await readManifest(createReadStream(image.manifestPath), null)
  await using pack = await PackReader.open(image.packPath, chunks)
  const progress = createCommandProgress(io, { command: 'si-exportimage', json: false })
  const phase = 'exporting'
  try {
    let doneBytes = 0
    await write(request, async (sink) => {
      for await (const bytes of pack.range(0, header.tarBytes)) {
        await sink(bytes)
        doneBytes += bytes.length
        progress.update({ phase, doneBytes, totalBytes: header.tarBytes })
      }
    })
  } finally {
    progress.end()
  }
}

async function exportFile(request: Export, path: string): Promise<void> {
  const { image } = request
  const { fileContent, PackReader, readManifest } = await import('../image/image.ts')
  let wanted: Buffer = Buffer.from(path.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, ''))
  let entry: ManifestEntry | undefined
  const isWanted = (found: ManifestEntry) => found.path.equals(wanted)
  const find = () =>
    readManifest(createReadStream(image.manifestPath), (found) => {
      if (isWanted(found)) entry = found
    })
  let manifest = await find()
  if (entry?.type === 'hardlink' && entry.linkTarget !== null) {
    wanted = entry.linkTarget
    manifest = await find()
  }
  const file = entry
  if (file?.type !== 'file') throw notAFile(image, path, file)
  await using pack = await PackReader.open(image.packPath, manifest.chunks)
  await write(request, async (sink) => {
    for await (const bytes of fileContent(pack, file)) await sink(bytes)
  })
}

function notAFile(image: ImageReference, path: string, entry: ManifestEntry | undefined): SiError {
  const name = `${image.name}/${image.version}`
  if (entry === undefined) {
    return new SiError('ERR_SI_IMAGE_NOT_FOUND', `Image ${name} has no file ${path}`, {
      hint: `Run si-exportimage ${name} --list to see what it has`,
    })
  }
  const target = entry.linkTarget === null ? '' : ` to ${formatBytesForPeople(entry.linkTarget)}`
  return new SiError(
    'ERR_SI_USAGE',
    `${path} of image ${name} is a ${entry.type}${target}, no file`,
  )
}

type Sink = (bytes: Uint8Array) => Promise<void>

/** To standard output, or to a file that has its name only once it is whole. */
async function write(
  { options, io }: Export,
  produce: (sink: Sink) => Promise<void>,
): Promise<void> {
  const { output } = options
  if (output === undefined) {
    await produce(async (bytes) => {
      throwIfAborted(io.signal)
      await writeBytes(io, bytes)
    })
    return
  }
  const found = await stat(output).catch(() => undefined)
  const isDevice = found !== undefined && !found.isFile() // a tape or a pipe cannot be renamed to
  const hidden = `.${basename(output)}-${randomBytes(4).toString('hex')}`
  const path = isDevice ? output : join(dirname(output), hidden)
  try {
    await using file = await open(path, isDevice ? 'w' : 'wx')
    await produce(async (bytes) => {
      throwIfAborted(io.signal)
      for (let done = 0; done < bytes.length;) {
        done += (await file.write(bytes, done, bytes.length - done)).bytesWritten
      }
    })
    if (!isDevice) await file.sync()
  } catch (error) {
    if (!isDevice) await rm(path, { force: true })
    throw error
  }
  if (!isDevice) await rename(path, output)
}

/** Lines are gathered to about this many characters. */
const BATCH_CHARACTERS = 64 * 1024

async function listFiles({ image, path, options, io }: Export): Promise<void> {
  const { readManifest } = await import('../image/image.ts')
  const below = (path ?? '').replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '')
  const isListed = ({ path: found }: ManifestEntry) => {
    const name = found.toString()
    return below === '' || name === below || name.startsWith(`${below}/`)
  }
  let text = ''
  let count = 0
  await readManifest(createReadStream(image.manifestPath), (entry) => {
    throwIfAborted(io.signal)
    if (!isListed(entry)) return
    count++
    if (options.json) {
      writeJson(io, toJson(entry))
      return
    }
    text += formatEntry(entry)
    if (text.length < BATCH_CHARACTERS) return
    io.stdout.write(text)
    text = ''
  })
  io.stdout.write(text)
  if (count === 0) throw notAFile(image, path ?? '/', undefined)
}

function formatEntry(entry: ManifestEntry): string {
  const { type, mode, uid, gid, mtimeNs, linkTarget } = entry
  const isDevice = type === 'character' || type === 'block'
  const size = isDevice ? `${entry.deviceMajor}, ${entry.deviceMinor}` : String(entry.sizeBytes)
  const arrow = type === 'hardlink' ? ' link to /' : ' -> '
  const target = linkTarget === null ? '' : `${arrow}${formatBytesForPeople(linkTarget)}`
  const owner = `${uid}/${gid}`.padEnd(9)
  return (
    `${formatPermissions(type, mode)} ${owner} ${size.padStart(12)} ${formatTime(mtimeNs)} ` +
    `/${formatBytesForPeople(entry.path)}${target}\n`
  )
}

function toJson(entry: ManifestEntry) {
  const { type, path, mode, uid, gid, sizeBytes, mtimeNs, linkTarget } = entry
  return {
    ...{ type, path: `/${path.toString('utf8')}`, mode, uid, gid, sizeBytes },
    mtimeNs: mtimeNs.toString(),
    ...(linkTarget === null ? {} : { linkTarget: linkTarget.toString('utf8') }),
  }
}
