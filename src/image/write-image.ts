// A tar stream becomes the files of an image in one pass. Invariant: when this resolves, pack, manifest
// and torrent agree with each other and are on the disk. Spec: FORMAT.md.
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError, throwIfAborted } from '../core/core.ts'
import { HashColumn } from './chunk-table.ts'
import { chunkingFor, type ChunkingParameters } from './chunker.ts'
import { writeFully } from './file-io.ts'
import { ImageEntries } from './image-entries.ts'
import { createImageTorrent } from './image-torrent.ts'
import { parseManifestHeader, type HeaderFacts, type ManifestHeader } from './manifest-header.ts'
import { writeManifest } from './manifest-writer.ts'
import { checkPieceLength, frameBoundBytes, IMAGE_FILES } from './pack-layout.ts'
import { PackLine, type TarSource } from './pack-line.ts'
import { TAR_BLOCK_BYTES } from './tar-header.ts'
import type { MemberPlace } from './tar-reader.ts'

export interface WriteImageOptions {
  /** Exists and holds none of the image's files. */
  readonly directory: string
  /** Name of the folder that other BitTorrent clients make. */
  readonly torrentName: string
  /** A power of two from 16 KiB to 64 MiB. */
  readonly pieceLengthBytes: number
  /** Those of the version before, so that chunks compare; made for the piece length when left out. */
  readonly chunking?: ChunkingParameters | undefined
  /** 1 to 19; 3 when left out. */
  readonly zstdLevel?: number | undefined
  readonly threads: number
  /**
   * Fifos and device nodes that are further names of an earlier one: path → its path, as latin1 text.
   * tar keeps them as nodes of their own; the manifest makes them hard links (FORMAT.md §4.2).
   */
  readonly nodeLinks?: ReadonlyMap<string, string> | undefined
  /** Asked once, after the stream has ended. */
  readonly header: () => Promise<HeaderFacts>
  /** Makes the detached signature of the finished manifest; left out: the image is not signed. */
  readonly sign?: ((manifestPath: string) => Promise<Uint8Array>) | undefined
  readonly onProgress?: ((tarBytes: number) => void) | undefined
  /** Told of every member of the tar, in order. */
  readonly onMember?: ((place: MemberPlace) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface WrittenImage {
  readonly header: ManifestHeader
  /** The bytes of image.torrent. */
  readonly torrent: Buffer
  readonly paddingBytes: number
  /** What could not be kept, in sentences for people. */
  readonly notes: readonly string[]
}

interface Settings extends WriteImageOptions {
  readonly chunking: ChunkingParameters
  readonly zstdLevel: number
}

const DEFAULT_ZSTD_LEVEL = 3
/** Higher levels need memory on the target that a deployment does not plan for. */
const ZSTD_LEVEL_MAX = 19
const THREADS_MAX = 1024

/**
 * Writes image.tar.zst, manifest.jsonl.zst, manifest.sig if it is signed, and image.torrent into the
 * directory and flushes them to the disk. On failure the files are left for the caller to remove. The source stays the caller's to
 * close. Throws ERR_SI_TAR_FORMAT, ERR_SI_UNSAFE_PATH, ERR_SI_USAGE, ERR_SI_ABORTED, and what the
 * source, `header`, `sign` and the file system throw; ERR_SI_MANIFEST_FORMAT when `header` gives what no
 * reader would accept.
 */
export async function writeImage(
  source: TarSource,
  options: WriteImageOptions,
): Promise<WrittenImage> {
  throwIfAborted(options.signal)
  const settings: Settings = {
    ...options,
    chunking: options.chunking ?? chunkingFor(options.pieceLengthBytes),
    zstdLevel: options.zstdLevel ?? DEFAULT_ZSTD_LEVEL,
  }
  checkPieceLength(settings.pieceLengthBytes)
  checkChunking(settings)
  checkRange('zstd level', settings.zstdLevel, ZSTD_LEVEL_MAX)
  checkRange('number of threads', settings.threads, THREADS_MAX)
  await using entries = await ImageEntries.open(
    join(settings.directory, '.entries.tmp'),
    settings.nodeLinks,
  )
  await using file = await open(join(settings.directory, IMAGE_FILES.pack), 'wx')
  const pack = await writePack(source, { settings, entries, file })
  const header = makeHeader(settings, await settings.header(), { pack, entries })
  throwIfAborted(settings.signal)
  const [torrent] = await Promise.all([
    writeDescription(settings, header, { pack, entries }),
    file.sync(),
  ])
  throwIfAborted(settings.signal)
  return { header, torrent, paddingBytes: pack.paddingBytes, notes: entries.notes }
}

function checkRange(what: string, value: number, maximum: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return
  throw new SiError('ERR_SI_USAGE', `A ${what} of ${value} is not possible`, {
    hint: `Choose a number from 1 to ${maximum}`,
  })
}

function checkChunking({ chunking, pieceLengthBytes }: Settings): void {
  const { minimumBytes, averageBytes, maximumBytes } = chunking
  const isWholeBlocks = [minimumBytes, averageBytes, maximumBytes].every(
    (bytes) => bytes > 0 && bytes % TAR_BLOCK_BYTES === 0,
  )
  if (!isWholeBlocks || minimumBytes > averageBytes || averageBytes > maximumBytes) {
    throw new SiError('ERR_SI_USAGE', 'Chunk lengths must be ordered multiples of 512 bytes')
  }
  if (frameBoundBytes(maximumBytes) + TAR_BLOCK_BYTES > pieceLengthBytes) {
    throw new SiError(
      'ERR_SI_USAGE',
      `Chunks of ${maximumBytes} bytes do not fit pieces of ${pieceLengthBytes} bytes`,
      { hint: 'Choose the piece length of the version before' },
    )
  }
}

type Pack = Awaited<ReturnType<PackLine['run']>> & { readonly paddingBytes: number }

/** Threads and buffers are freed when this returns; the pack is written, not yet flushed. */
async function writePack(
  source: TarSource,
  {
    settings,
    entries,
    file,
  }: { readonly settings: Settings; readonly entries: ImageEntries; readonly file: FileHandle },
): Promise<Pack> {
  const { pieceLengthBytes, chunking, zstdLevel, threads, onProgress, onMember, signal } = settings
  await using line = new PackLine({
    ...{ source, file, entries, pieceLengthBytes, chunking, zstdLevel, threads },
    ...{ onProgress, onMember, signal },
  })
  const result = await line.run()
  return { ...result, paddingBytes: line.paddingBytes }
}

interface Written {
  readonly pack: Pack
  readonly entries: ImageEntries
}

function makeHeader(
  settings: Settings,
  facts: HeaderFacts,
  { pack, entries }: Written,
): ManifestHeader {
  const { averageBytes, minimumBytes, maximumBytes } = settings.chunking
  const header: ManifestHeader = {
    format: 'swarmimager-image',
    formatVersion: 1,
    kind: 'tar',
    ...facts,
    pieceLengthBytes: settings.pieceLengthBytes,
    chunking: { averageBytes, minimumBytes, maximumBytes },
    zstdLevel: settings.zstdLevel,
    tarBytes: pack.table.tarEnd,
    packBytes: pack.table.packEnd,
    contentBytes: entries.contentBytes,
    entryCount: entries.count,
    chunkCount: pack.table.count,
    pieceCount: pack.pieces.length,
  }
  return parseManifestHeader(header) // what no reader would accept must not be written
}

/** Writes manifest and torrent; returns the torrent. */
async function writeDescription(
  settings: Settings,
  header: ManifestHeader,
  { pack, entries }: Written,
): Promise<Buffer> {
  const pieceSha256 = new HashColumn()
  for (const { sha256 } of pack.pieces) pieceSha256.add(sha256)
  const manifestPath = join(settings.directory, IMAGE_FILES.manifest)
  const manifestBytes = await writeManifest(manifestPath, {
    header,
    entries: entries.spool,
    chunks: pack.table.finish(),
    pieceSha256: pieceSha256.finish(),
  })
  const signature = await settings.sign?.(manifestPath)
  if (signature !== undefined) {
    await writeFlushed(join(settings.directory, IMAGE_FILES.signature), signature)
  }
  const torrent = await createImageTorrent({
    torrentName: settings.torrentName,
    pieceLengthBytes: settings.pieceLengthBytes,
    manifestPath,
    manifestBytes,
    signature,
    packBytes: header.packBytes,
    packSha1: Buffer.concat(pack.pieces.map(({ sha1 }) => sha1)),
  })
  await writeFlushed(join(settings.directory, IMAGE_FILES.torrent), torrent)
  return torrent
}

async function writeFlushed(path: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(path, 'wx')
  await writeFully(handle, bytes, 0)
  await handle.sync()
}
