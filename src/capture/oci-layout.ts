// An OCI image layout: index → manifest of a platform → layers. Invariant: no blob is believed before its
// digest and size matched, and a digest never becomes a path unless it is one. Spec: OCI image layout,
// image index, image manifest (opencontainers/image-spec).
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { errnoOf, messageOf, SiError } from '../core/core.ts'

const platformSchema = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
})

const descriptorSchema = z.object({
  mediaType: z.string().optional(),
  digest: z.string().regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/, 'is no digest'),
  size: z.int().nonnegative(),
  platform: platformSchema.optional(),
})

const indexSchema = z.object({ manifests: z.array(descriptorSchema).max(10_000) })
const manifestSchema = z.object({
  config: descriptorSchema,
  layers: z.array(descriptorSchema).min(1).max(10_000),
})
const configSchema = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  rootfs: z.object({ diff_ids: z.array(z.string()) }),
})

export type Descriptor = z.infer<typeof descriptorSchema>

export interface OciLayer {
  readonly descriptor: Descriptor
  /** Digest of the uncompressed archive. */
  readonly diffId: string
}

export interface OciImage {
  /** `linux/amd64` */
  readonly platform: string
  readonly architecture: string
  /** Lowest first. */
  readonly layers: readonly OciLayer[]
}

/** More than any index or manifest; they are read whole. */
const JSON_MAX_BYTES = 16 * 2 ** 20

const NODE_ARCHITECTURES: Readonly<Partial<Record<string, string>>> = { x64: 'amd64', ia32: '386' }

/** True for a directory that says it is a layout. */
export async function isOciLayout(directory: string): Promise<boolean> {
  return stat(join(directory, 'oci-layout')).then(
    (found) => found.isFile(),
    () => false,
  )
}

/**
 * Finds the image for `platform` (`linux/arm64`, `linux/arm/v7`); left out: the only one, or that of this
 * machine. Throws ERR_SI_IMAGE_FORMAT, ERR_SI_INTEGRITY, ERR_SI_USAGE when there is none or several.
 */
export async function openOciLayout(
  directory: string,
  platform: string | undefined,
): Promise<OciImage> {
  const index = parse(indexSchema, await readIndex(directory), 'index.json')
  const images = await findImages(directory, index.manifests, 0)
  const own = `linux/${NODE_ARCHITECTURES[process.arch] ?? process.arch}`
  const wanted = platform ?? (images.length === 1 ? undefined : own)
  const matching = images.filter(
    ({ platform: found }) =>
      wanted === undefined || found === wanted || found.startsWith(`${wanted}/`),
  )
  const [image] = matching
  if (image !== undefined && matching.length === 1) return image
  const there = images.map((found) => found.platform).join(', ') || 'none'
  const count = matching.length === 0 ? 'no image' : `${matching.length} images`
  throw new SiError('ERR_SI_USAGE', `${directory} has ${count} for ${wanted ?? 'any platform'}`, {
    hint: `Choose one of its platforms with --platform: ${there}`,
  })
}

const DEPTH_MAX = 4

/** An index may name further indexes. What is for no platform (attestations) is passed over. */
async function findImages(
  directory: string,
  descriptors: readonly Descriptor[],
  depth: number,
): Promise<OciImage[]> {
  if (depth > DEPTH_MAX) throw formatError('its indexes are nested too deeply')
  const images: OciImage[] = []
  for (const descriptor of descriptors) {
    if (descriptor.platform?.os === 'unknown') continue
    const value = await readJson(directory, descriptor)
    const index = indexSchema.safeParse(value)
    if (index.success)
      images.push(...(await findImages(directory, index.data.manifests, depth + 1)))
    else images.push(await toImage(directory, parse(manifestSchema, value, descriptor.digest)))
  }
  return images
}

async function toImage(
  directory: string,
  { config, layers }: z.infer<typeof manifestSchema>,
): Promise<OciImage> {
  const { os, architecture, variant, rootfs } = parse(
    configSchema,
    await readJson(directory, config),
    config.digest,
  )
  if (rootfs.diff_ids.length !== layers.length) {
    throw formatError(`its configuration has ${rootfs.diff_ids.length} of ${layers.length} layers`)
  }
  return {
    architecture,
    platform: [os, architecture, variant].filter(Boolean).join('/'),
    layers: layers.map((descriptor, i) => ({ descriptor, diffId: rootfs.diff_ids[i] ?? '' })),
  }
}

function blobPath(directory: string, { digest }: Descriptor): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(directory, 'blobs', algorithm, hex)
}

async function readIndex(directory: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(directory, 'index.json'), 'utf8'))
  } catch (error) {
    throw formatError(`index.json: ${messageOf(error)}`)
  }
}

async function readJson(directory: string, descriptor: Descriptor): Promise<unknown> {
  if (descriptor.size > JSON_MAX_BYTES) throw formatError(`${descriptor.digest} is too large`)
  const parts: Uint8Array[] = []
  for await (const bytes of readBlob(directory, descriptor)) parts.push(bytes)
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (error) {
    throw formatError(`${descriptor.digest}: ${messageOf(error)}`)
  }
}

/** The bytes of a blob; throws ERR_SI_INTEGRITY at its end, or before, when they are not those promised. */
export async function* readBlob(
  directory: string,
  descriptor: Descriptor,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = descriptor
  const hash = createHash(digest.slice(0, digest.indexOf(':')))
  let bytes = 0
  try {
    for await (const part of createReadStream(
      blobPath(directory, descriptor),
    ) as AsyncIterable<Buffer>) {
      hash.update(part)
      bytes += part.length
      if (bytes > size) break
      yield part
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    throw formatError(`blob ${digest} is missing`)
  }
  if (bytes !== size) throw digestError(digest, `its size is not ${size}`)
  if (hash.digest('hex') !== digest.slice(digest.indexOf(':') + 1)) {
    throw digestError(digest, 'its digest is another')
  }
}

export function digestError(digest: string, why: string): SiError {
  return new SiError('ERR_SI_INTEGRITY', `Cannot import blob ${digest}: ${why}`, {
    hint: 'Fetch the image again',
  })
}

function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw formatError(`${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}

function formatError(why: string): SiError {
  return new SiError('ERR_SI_IMAGE_FORMAT', `Cannot read OCI image layout: ${why}`)
}
