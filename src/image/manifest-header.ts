// The first record of a manifest: what the image is, where it comes from, how large everything is.
// Invariant: a header that was read has numbers that agree with each other. Spec: FORMAT.md §4.1.
import { z } from 'zod'
import { messageOf, SiError } from '../core/core.ts'
import { diskLayoutSchema, type DiskLayout } from './disk-layout.ts'
import { isPieceLength, MAXIMUM_PIECE_LENGTH_BYTES } from './pack-layout.ts'
import { TAR_BLOCK_BYTES } from './tar-header.ts'

/** What a person said about what belongs into the image. */
export interface KeptRules {
  readonly rules: readonly string[]
  /** Whether the default exclude list applies, too. */
  readonly useDefaults: boolean
}

/** What the capture knows about the source; the writer adds the rest of the header. */
export interface HeaderFacts {
  readonly name: string
  readonly version: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  readonly source: {
    readonly host: string
    /** PRETTY_NAME of os-release. */
    readonly operatingSystem: string
    /** `uname -m`. */
    readonly architecture: string
    /** `uname -r`. */
    readonly kernel: string
  }
  readonly boot: { readonly method: 'bios' | 'uefi' | 'none' }
  /** Null when the source was a directory. */
  readonly layout: DiskLayout | null
  /** /etc/fstab of the source. */
  readonly fstab: string
  /** Every rule that decided what is in the image, in order, as `- PATTERN` or `+ PATTERN`. */
  readonly excludes: readonly string[]
  /** Those that the next capture of this image takes over; absent in images of older programs. */
  readonly keptRules?: KeptRules | undefined
  /** Paths that tar reported as changed while it read them. */
  readonly changedFiles: readonly string[]
}

export interface ManifestHeader extends HeaderFacts {
  readonly format: 'swarmimager-image'
  readonly formatVersion: 1
  readonly kind: 'tar'
  readonly pieceLengthBytes: number
  readonly chunking: {
    readonly averageBytes: number
    readonly minimumBytes: number
    readonly maximumBytes: number
  }
  readonly zstdLevel: number
  readonly tarBytes: number
  readonly packBytes: number
  /** Sum of file data; holes are not counted. */
  readonly contentBytes: number
  readonly entryCount: number
  readonly chunkCount: number
  readonly pieceCount: number
}

const count = z.int().nonnegative()
/** Generous for what people and kernels write, mount options of overlays included. */
const line = z.string().max(64 * 1024)

const chunkingSchema = z.strictObject({
  averageBytes: z.int().multipleOf(TAR_BLOCK_BYTES).positive(),
  minimumBytes: z.int().multipleOf(TAR_BLOCK_BYTES).positive(),
  maximumBytes: z.int().multipleOf(TAR_BLOCK_BYTES).max(MAXIMUM_PIECE_LENGTH_BYTES),
})

const headerSchema: z.ZodType<ManifestHeader> = z.strictObject({
  format: z.literal('swarmimager-image'),
  formatVersion: z.literal(1),
  kind: z.literal('tar'),
  name: line.min(1),
  version: line.min(1),
  createdAt: z.iso.datetime(),
  source: z.strictObject({ host: line, operatingSystem: line, architecture: line, kernel: line }),
  boot: z.strictObject({ method: z.enum(['bios', 'uefi', 'none']) }),
  layout: diskLayoutSchema.nullable(),
  fstab: z.string().max(1024 * 1024),
  excludes: z.array(line),
  keptRules: z.strictObject({ rules: z.array(line), useDefaults: z.boolean() }).optional(),
  changedFiles: z.array(z.string()),
  pieceLengthBytes: z.int().refine(isPieceLength, 'is not a piece length'),
  chunking: chunkingSchema,
  zstdLevel: z.int(),
  tarBytes: count,
  packBytes: count,
  contentBytes: count,
  entryCount: count,
  chunkCount: count,
  pieceCount: count,
})

/** The value of the first record → header. Throws ERR_SI_MANIFEST_FORMAT. */
export function parseManifestHeader(value: unknown): ManifestHeader {
  checkVersion(value)
  const result = headerSchema.safeParse(value)
  if (!result.success) {
    const issue = result.error.issues[0]
    const where = issue?.path.join('.') || 'header'
    throw new SiError(
      'ERR_SI_MANIFEST_FORMAT',
      `Cannot read manifest: ${where}: ${issue?.message ?? messageOf(result.error)}`,
    )
  }
  const fault = headerFault(result.data)
  if (fault !== undefined) {
    throw new SiError('ERR_SI_MANIFEST_FORMAT', `Cannot read manifest: ${fault}`)
  }
  return result.data
}

/** A later format deserves its own words, not a list of fields this program does not know. */
function checkVersion(value: unknown): void {
  const record = value as { format?: unknown; formatVersion?: unknown; kind?: unknown } | null
  const isOurs = typeof record === 'object' && record?.format === 'swarmimager-image'
  if (!isOurs || (record.formatVersion === 1 && record.kind === 'tar')) return
  const found = `version ${String(record.formatVersion)}, kind ${String(record.kind)}`
  throw new SiError('ERR_SI_MANIFEST_FORMAT', `This program cannot read images of ${found}`, {
    hint: 'Install a newer SwarmImager',
  })
}

function headerFault(header: ManifestHeader): string | undefined {
  const { tarBytes, packBytes, pieceCount, chunkCount, entryCount, chunking } = header
  if (tarBytes % TAR_BLOCK_BYTES !== 0 || tarBytes === 0) return 'tarBytes is no size of a tar'
  if (pieceCount !== Math.ceil(packBytes / header.pieceLengthBytes)) {
    return 'pieceCount does not fit packBytes'
  }
  if (chunkCount < pieceCount) return 'there are fewer chunks than pieces'
  if (chunkCount > tarBytes / TAR_BLOCK_BYTES) return 'there are more chunks than tar blocks'
  if (entryCount > tarBytes / TAR_BLOCK_BYTES) return 'there are more entries than tar blocks'
  if (chunking.maximumBytes > header.pieceLengthBytes) return 'chunks are larger than pieces'
  return header.contentBytes > tarBytes ? 'contentBytes exceeds tarBytes' : undefined
}
