// What cluster.yaml may say for all hosts, an image, a group or a host: the schema of its parts, and how the
// settings of several levels become one. Invariant: later levels win; lists of overrides and scripts add
// up, in order; parameters and interfaces are merged by name.
import * as z from 'zod'
import { closedObject } from '../config/config.ts'
import { isSiError, parseDuration } from '../core/core.ts'

export const SCRIPT_FAILURE_CHOICES = ['stop', 'shell', 'continue'] as const
export const AFTER_INSTALL_CHOICES = ['reboot', 'poweroff', 'kexec', 'shell', 'seed'] as const
export const BOOT_CHOICES = ['install', 'local'] as const

const imageName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** The settings of this interface are for the one that the host is known by: its first MAC address. */
export const BOOT_INTERFACE = 'boot'

const MAX_PARAMETER_CHARACTERS = 4096

/** `NAME` or `NAME/VERSION`, as the repository takes them. */
const image = z
  .string()
  .refine(isImage, 'is no image: write NAME or NAME/VERSION, letters, digits, dots and hyphens')

function isImage(text: string): boolean {
  const [name = '', version, ...more] = text.split('/')
  const isVersion = version === undefined || imageName.test(version)
  return imageName.test(name) && isVersion && more.length === 0
}

function isTimeLimit(text: string): boolean {
  try {
    return parseDuration(text) > 0
  } catch (error) {
    if (isSiError(error, 'ERR_SI_USAGE')) return false
    throw error
  }
}

const nonEmpty = z.string().min(1, 'is empty')

/** One, or a list of them. */
const listOf = <Item extends z.ZodType>(item: Item) =>
  z.union([item.transform((one) => [one]), z.array(item)], {
    error: 'must be one of them or a list, each as described in CLUSTER.md',
  })

/** A key with nothing behind it. */
const orNothing = <Value extends z.ZodType>(value: Value) =>
  z.preprocess((given) => (given === '' || given === null ? {} : given), value)

const interfaceSettings = orNothing(
  z.preprocess(
    (given) => (given === 'dhcp' ? { addresses: 'dhcp' } : given),
    closedObject({
      addresses: listOf(nonEmpty).optional(),
      gateway: nonEmpty.optional(),
      nameServers: listOf(nonEmpty).optional(),
      searchDomains: listOf(nonEmpty).optional(),
    }),
  ),
)

export type InterfaceSettings = z.infer<typeof interfaceSettings>

const parameterName = z
  .string()
  .regex(
    /^(?:[a-z][a-z0-9_]{0,63}|si\.[a-z][a-z0-9-]{0,63})$/,
    'must be lower-case letters, digits and underscores, or si. and a name of NETBOOT.md',
  )

const parameterValue = z
  .string()
  .max(MAX_PARAMETER_CHARACTERS, `is longer than ${MAX_PARAMETER_CHARACTERS} characters`)
  .refine((text) => !text.includes('\0'), 'holds a NUL')

const override = z.string().refine(isImage, 'is no override: write NAME or NAME/VERSION')

/** An image does not say which image. */
const imageShape = {
  layout: nonEmpty.optional(),
  network: orNothing(z.record(nonEmpty, interfaceSettings)).optional(),
  overrides: listOf(override).optional(),
  preInstall: listOf(nonEmpty).optional(),
  postInstall: listOf(nonEmpty).optional(),
  onScriptFailure: z.enum(SCRIPT_FAILURE_CHOICES, choice(SCRIPT_FAILURE_CHOICES)).optional(),
  scriptTimeLimit: z
    .string()
    .refine(isTimeLimit, 'is no time: write 90s, 5m, 1h or forever')
    .optional(),
  afterInstall: z.enum(AFTER_INSTALL_CHOICES, choice(AFTER_INSTALL_CHOICES)).optional(),
  boot: z.enum(BOOT_CHOICES, choice(BOOT_CHOICES)).optional(),
  parameters: orNothing(z.record(parameterName, parameterValue)).optional(),
}

function choice(words: readonly string[]): { readonly error: string } {
  return { error: `must be one of ${words.join(', ')}` }
}

const settingsShape = { image: image.optional(), ...imageShape }

const settings = closedObject(settingsShape)

export type Settings = z.infer<typeof settings>

/** The whole file. */
export const clusterSchema = orNothing(
  closedObject({
    defaults: orNothing(settings).optional(),
    images: orNothing(
      z.record(
        z.string().regex(imageName, 'is no name of an image'),
        orNothing(closedObject(imageShape)),
      ),
    ).optional(),
    groups: orNothing(
      z.record(
        z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, 'is no name of a group'),
        orNothing(
          closedObject({
            ...settingsShape,
            hosts: listOf(nonEmpty).optional(),
            groups: listOf(nonEmpty).optional(),
          }),
        ),
      ),
    ).optional(),
    hosts: orNothing(
      z.record(
        nonEmpty,
        orNothing(
          closedObject({
            ...settingsShape,
            mac: listOf(nonEmpty).optional(),
            uuid: listOf(nonEmpty).optional(),
          }),
        ),
      ),
    ).optional(),
  }),
)

export type ClusterText = z.infer<typeof clusterSchema>

/** Settings of one level on top of those before it. */
export function mergeSettings(lower: Settings, upper: Settings): Settings {
  const defined = Object.fromEntries(
    Object.entries(upper).filter(([, value]) => value !== undefined),
  )
  return {
    ...lower,
    ...defined,
    overrides: appended(lower.overrides, upper.overrides),
    preInstall: appended(lower.preInstall, upper.preInstall),
    postInstall: appended(lower.postInstall, upper.postInstall),
    network: mergeNetworks(lower.network, upper.network),
    parameters: { ...lower.parameters, ...upper.parameters },
  }
}

/** What two levels ask for is done once, in the place of the later one; an empty list takes all before it away. */
function appended(lower: readonly string[] = [], upper?: readonly string[]): string[] {
  if (upper === undefined) return [...lower]
  if (upper.length === 0) return []
  return [...lower.filter((name) => !upper.includes(name)), ...upper]
}

type Network = Settings['network']

function mergeNetworks(lower: Network, upper: Network): Network {
  if (lower === undefined || upper === undefined) return upper ?? lower
  const merged = { ...lower }
  for (const [name, own] of Object.entries(upper)) merged[name] = { ...merged[name], ...own }
  return merged
}
