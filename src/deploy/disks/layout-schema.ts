// The grammar of layout files (LAYOUT.md): which keys there are and which words each takes. Every scalar
// comes as text; what a value means together with others is judged in layout-file.ts.
import * as z from 'zod'
import { closedObject } from '../../config/config.ts'
import { isSiError, parseSize } from '../../core/core.ts'
import { MAKEABLE_FILE_SYSTEMS } from '../../host/host.ts'
import { RAID_LEVELS, RAID_METADATA, TRANSPORTS, type Size } from './layout.ts'

const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, { error: `must be ${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}` })

const required = { error: 'is missing' }

/** Names that kernel, mdadm, LVM and our own references take. */
const name = z.string(required).regex(/^[A-Za-z0-9][\w.+-]{0,31}$/, {
  error: 'must be at most 32 letters, digits, ".", "_", "+" or "-", the first a letter or digit',
})

/** A name, `sda1`, or `vg0/root`. */
const reference = z
  .string(required)
  .regex(/^[\w.+-]+(\/[\w.+-]+)?$/, { error: 'must be the name of a device' })

const bytes = z.string().transform((text, context) => {
  try {
    return parseSize(text)
  } catch (error) {
    if (!isSiError(error)) throw error
    context.addIssue({ code: 'custom', message: 'must be a size such as 512MiB or 20GB' })
    return z.NEVER
  }
})

const size = z.string(required).transform((text, context): Size => {
  if (text === 'rest') return { kind: 'rest' }
  const percent = Number(/^(\d{1,3}(?:\.\d+)?)\s*%$/.exec(text)?.[1] ?? Number.NaN)
  if (percent > 0 && percent <= 100) return { kind: 'percent', percent }
  const result = bytes.safeParse(text)
  if (result.success && result.data > 0) return { kind: 'fixed', bytes: result.data }
  const message = 'must be a size such as 20GiB, a percentage such as 50%, or rest'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

const number = z
  .string(required)
  .regex(/^[1-9]\d{0,2}$/, { error: 'must be a number from 1 to 128' })
  .transform(Number)
  .refine((value) => value <= 128, { error: 'must be a number from 1 to 128' })

const truth = oneOf(['true', 'false']).transform((text) => text === 'true')

export const mountPoint = z
  .string()
  .regex(/^\/$|^(\/(?!\.{1,2}(\/|$))[^/\0\n]+)+$/, { error: 'must be an absolute path' })

const filePath = mountPoint.refine((path) => path !== '/', { error: 'must be the path of a file' })

/** Blanks end a field of fstab. */
const mountOptions = z.string().regex(/^[^\s,]+(,[^\s,]+)*$/, {
  error: 'must be mount options, separated by commas',
})

const subvolume = closedObject({
  path: z.string(required).regex(/^(?!\.{1,2}(\/|$))[^/\0\s,-][^/\0\s,]*$/, {
    error: 'must be a name without slashes, commas and blanks, such as @home',
  }),
  mount: mountPoint.optional(),
  options: mountOptions.optional(),
})

/** What every device can be given. */
const content = {
  format: oneOf(MAKEABLE_FILE_SYSTEMS).optional(),
  label: z.string().max(255).optional(),
  uuid: z.string().optional(),
  mount: mountPoint.optional(),
  options: mountOptions.optional(),
  subvolumes: z.array(subvolume).max(256).optional(),
}

const pattern = z.string().min(1, { error: 'must not be empty' })

const picks = oneOf(['first', 'smallest', 'largest'])

/** `match: first` is short for `match: { pick: first }`. */
const rule = z.preprocess(
  (value) => (typeof value === 'string' ? { pick: value } : value),
  closedObject({
    path: z.string().startsWith('/', { error: 'must be an absolute path' }).optional(),
    'by-id': pattern.optional(),
    model: pattern.optional(),
    serial: pattern.optional(),
    transport: oneOf(TRANSPORTS).optional(),
    'min-size': bytes.optional(),
    'max-size': bytes.optional(),
    pick: picks.optional(),
  }),
)

const partition = closedObject({
  number,
  size: size.optional(),
  type: z.string().optional(),
  name: z.string().max(36, { error: 'must have 36 characters at most' }).optional(),
  attributes: z.string().optional(),
  bootable: truth.optional(),
  keep: truth.optional(),
  ...content,
})

const disk = closedObject({
  name,
  match: rule.optional(),
  table: oneOf(['gpt', 'msdos', 'none']).optional(),
  extended: number.optional(),
  partitions: z.array(partition).max(128).optional(),
  ...content,
})

const members = z.array(reference, required).min(1, { error: 'must name devices' }).max(256)

const array = closedObject({
  name,
  level: oneOf(RAID_LEVELS),
  metadata: oneOf(RAID_METADATA).optional(),
  members,
  ...content,
})

const encrypted = closedObject({
  name,
  device: reference,
  'key-file': filePath.optional(),
  'key-in-target': filePath.optional(),
  ...content,
})

const volumeGroup = closedObject({
  name,
  members,
  volumes: z.array(closedObject({ name, size, ...content })).max(256),
})

export const layoutSchema = closedObject({
  uuid: oneOf(['keep', 'new']).optional(),
  disks: z.array(disk, required).min(1, { error: 'must have a disk' }).max(64),
  arrays: z.array(array).max(64).optional(),
  encrypted: z.array(encrypted).max(64).optional(),
  'volume-groups': z.array(volumeGroup).max(64).optional(),
})

export type LayoutText = z.infer<typeof layoutSchema>
export type ContentText = Pick<
  z.infer<typeof disk>,
  'format' | 'label' | 'uuid' | 'mount' | 'options' | 'subvolumes'
>
export type DiskText = z.infer<typeof disk>
export type PartitionText = z.infer<typeof partition>
export type RuleText = z.infer<typeof rule>
