// A tar, or a container image, becomes an image: unpacked as a tree beside the repository's images, then
// captured as any local tree is. Invariant: what a foreign archive holds passes through the same tar and the
// same writer as a golden client, so an image never depends on who wrote the archive. The price: the tree
// is on the disk once, uncompressed, while it is imported.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, SiError, type Progress } from '../core/core.ts'
import { TarReader } from '../image/image.ts'
import { capture, type CaptureOptions, type CaptureReport } from './capture.ts'
import { foldLayer } from './fold-layer.ts'
import { LayerLinks, linkToBelow, memberNames } from './layer-links.ts'
import { digestError, isOciLayout, openOciLayout, readBlob, type OciLayer } from './oci-layout.ts'
import { openStaging } from './staging.ts'
import { unpackError, unpackTar, type UnpackOptions } from './unpack-tar.ts'

export interface ImportOptions extends Omit<CaptureOptions, 'source'> {
  /** A tar, plain or compressed by gzip, zstd, xz or bzip2, or an OCI image layout directory. */
  readonly source: string | AsyncIterable<Uint8Array>
  /** Of a layout with several images: `linux/arm64`. */
  readonly platform?: string | undefined
}

interface Unpacked {
  readonly directory: string
  readonly description: string
  readonly architecture?: string
  readonly notes: readonly string[]
}

/**
 * Throws ERR_SI_TAR_FORMAT, ERR_SI_IMAGE_FORMAT, ERR_SI_INTEGRITY, ERR_SI_USAGE, and what a capture throws.
 */
export async function importImage(
  options: ImportOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<CaptureReport> {
  if (process.getuid?.() !== 0) {
    throw new SiError('ERR_SI_CAPTURE', 'Only root can import: files keep their owners', {
      hint: 'Run it as root',
    })
  }
  await using staging = await openStaging(options.repository.directory)
  const { source } = options
  const isLayout = typeof source === 'string' && (await isDirectory(source))
  const unpacked = isLayout
    ? await unpackLayout(source, { options, progress, signal, staging: staging.directory })
    : await unpackArchive(source, { options, progress, signal, staging: staging.directory })
  const { directory, description: host, architecture } = unpacked
  const describedAs = { host, ...(architecture === undefined ? {} : { architecture }) }
  const tree = { type: 'root', directory, describedAs } as const
  // Files that were unpacked just now are as in no image.
  const captured = { ...options, source: tree, previous: null }
  const report = await capture(captured, progress, signal)
  return { ...report, notes: [...unpacked.notes, ...report.notes] }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    throw new SiError('ERR_SI_USAGE', `Cannot import ${path}: there is no such file`, {
      cause: error,
    })
  }
}

interface Work {
  readonly options: ImportOptions
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly staging: string
}

async function unpackArchive(
  source: string | AsyncIterable<Uint8Array>,
  { progress, signal, staging }: Work,
): Promise<Unpacked> {
  const directory = join(staging, 'tree')
  await mkdir(directory, { mode: 0o755 })
  const isFile = typeof source === 'string'
  const description = isFile ? source : 'standard input'
  const totalBytes = isFile ? (await stat(source)).size : undefined
  const bytes = isFile ? (createReadStream(source) as AsyncIterable<Buffer>) : source
  const counted = count(bytes, (doneBytes) =>
    progress.update({ phase: 'unpacking', doneBytes, totalBytes }),
  )
  const notes = await unpackTar(counted, { description, directory, signal })
  return { directory, description, notes }
}

async function* count(
  source: AsyncIterable<Uint8Array>,
  onBytes: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let doneBytes = 0
  for await (const bytes of source) {
    doneBytes += bytes.length
    onBytes(doneBytes)
    yield bytes
  }
}

async function drain(source: AsyncIterable<Uint8Array>): Promise<void> {
  const iterator = source[Symbol.asyncIterator]()
  while ((await iterator.next()).done !== true);
}

async function unpackLayout(source: string, work: Work): Promise<Unpacked> {
  const { options, progress, signal, staging } = work
  if (!(await isOciLayout(source))) {
    throw new SiError('ERR_SI_USAGE', `Cannot import ${source}: it is no OCI image layout`, {
      hint: 'Name a tar or an OCI layout; si-getimage --root captures a directory tree',
    })
  }
  const image = await openOciLayout(source, options.platform)
  const totalBytes = image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  const notes: string[] = []
  let [lower, doneBytes] = [join(staging, 'empty'), 0]
  await mkdir(lower, { mode: 0o755 })
  for (const [number, layer] of image.layers.entries()) {
    signal.throwIfAborted()
    const upper = join(staging, `layer-${number}`)
    const before = doneBytes
    const open = () =>
      count(readBlob(source, layer.descriptor), (bytes) => {
        doneBytes = before + bytes
        progress.update({ phase: 'unpacking', doneBytes, totalBytes })
      })
    const unpacked = await unpackLayer(open, layer, { lower, upper, signal }).catch(
      async (error: unknown) => {
        await drain(readBlob(source, layer.descriptor)) // a damaged blob explains what tar met in it
        throw error
      },
    )
    notes.push(...unpacked.remarks)
    foldLayer(Buffer.from(lower), Buffer.from(upper), unpacked.directories)
    await rm(lower, { recursive: true, force: true })
    lower = upper
  }
  const { platform, architecture } = image
  return { directory: lower, description: `${source} (${platform})`, architecture, notes }
}

interface LayerTarget {
  /** The layers below, folded. */
  readonly lower: string
  /** Made here. */
  readonly upper: string
  readonly signal: AbortSignal
}

interface UnpackedLayer {
  readonly remarks: readonly string[]
  /** Paths of the directories that the layer names, as latin1 text. */
  readonly directories: ReadonlySet<string>
}

/** tar fails at links to the layers below; then it passes them over, and they are made by us. */
async function unpackLayer(
  open: () => AsyncIterable<Uint8Array>,
  layer: OciLayer,
  target: LayerTarget,
): Promise<UnpackedLayer> {
  const links = new LayerLinks()
  const directories = new Set<string>()
  const reader = new TarReader({
    onEntry: (entry) => {
      links.add(entry)
      if (entry.type === 'directory') directories.add(entry.path.toString('latin1'))
    },
    onNote: () => {}, // the capture will say it
  })
  const onPlain = (bytes: Uint8Array) => reader.push(bytes)
  const { upper } = target
  try {
    return { directories, remarks: await unpackBlob(open(), layer, { ...target, onPlain }) }
  } catch (error) {
    if (links.toBelow().length === 0) throw error
  }
  const found = links.toBelow()
  const leftOutFile = `${upper}.links`
  await writeFile(leftOutFile, `${found.flatMap(memberNames).join('\n')}\n`, 'latin1')
  await rm(upper, { recursive: true })
  const remarks = await unpackBlob(open(), layer, { ...target, leftOutFile })
  const fault = linkToBelow(found, {
    lower: Buffer.from(target.lower),
    upper: Buffer.from(upper),
  })
  if (fault !== undefined) throw unpackError(`layer ${layer.descriptor.digest}`, fault)
  return { directories, remarks }
}

/** Resolves to what tar remarked. */
async function unpackBlob(
  blob: AsyncIterable<Uint8Array>,
  { descriptor, diffId }: OciLayer,
  target: LayerTarget & Pick<UnpackOptions, 'leftOutFile' | 'onPlain'>,
): Promise<readonly string[]> {
  const { upper: directory, leftOutFile, onPlain, signal } = target
  const hash = createHash('sha256')
  await mkdir(directory, { mode: 0o755 })
  const remarks = await unpackTar(blob, {
    ...{ directory, leftOutFile, signal },
    description: `layer ${descriptor.digest}`,
    onPlain: (bytes) => {
      hash.update(bytes)
      onPlain?.(bytes)
    },
  })
  const digest = `sha256:${hash.digest('hex')}`
  if (diffId.startsWith('sha256:') && digest !== diffId) {
    throw digestError(descriptor.digest, `its content is not ${diffId}`)
  }
  return remarks
}
