// What may be said to a machine that boots into si-autoinstall: words of the kernel command line, `si.NAME=VALUE`,
// and lines of local.cfg, `NAME=VALUE`. The command line overrides the file, the file what the server says. Invariant:
// every fault is found at once and names its place; nothing is installed while there is one, since a misspelt
// parameter would be an order that is silently not followed.
import { nearest } from '../../config/config.ts'
import { messageOf, SiError } from '../../core/core.ts'
import { parameterTable, type NodeParameters, type ParameterName } from './parameter-table.ts'

export interface ParameterSources {
  /** /proc/cmdline */
  readonly commandLine: string
  /** undefined: there is no such file. */
  readonly localConfiguration?: string | undefined
  /** What the server says of this node; the weakest. Names that are none of ours are for scripts. */
  readonly server?: Readonly<Record<string, string>>
}

/** Where one value was found, for messages. */
interface Assignment {
  readonly name: string
  readonly value: string
  readonly place: string
}

export interface ParsedParameters {
  /** What could be read; defaults for the rest. Enough to end as the administrator wishes. */
  readonly parameters: NodeParameters
  /** Names every fault; undefined: there is none. */
  readonly fault: SiError | undefined
}

export function parseParameters(sources: ParameterSources): ParsedParameters {
  const faults: string[] = []
  const assignments = [
    ...serverAssignments(sources.server ?? {}),
    ...fileAssignments(sources.localConfiguration ?? '', faults),
    ...commandLineAssignments(sources.commandLine),
  ]
  const values: Partial<Record<ParameterName, unknown>> = {}
  for (const { name, value, place } of assignments) {
    if (!isKnown(name)) {
      faults.push(`${place}: ${describeUnknown(name)}`)
      continue
    }
    try {
      values[name] = parameterTable[name].parse(value)
    } catch (error) {
      const hint = error instanceof SiError && error.hint !== undefined ? ` (${error.hint})` : ''
      faults.push(`${place}: ${name}=${value}: ${messageOf(error)}${hint}`)
    }
  }
  return { parameters: withDefaults(values), fault: faultOf(faults) }
}

function faultOf(faults: readonly string[]): SiError | undefined {
  if (faults.length === 0) return undefined
  return new SiError('ERR_SI_CONFIGURATION', `Wrong parameters: ${faults.join('; ')}`, {
    hint: 'Correct the kernel parameters, local.cfg, or cluster.yaml, and boot again',
  })
}

/** Words as the kernel splits them: blanks in double quotes belong to the word. */
export function splitCommandLine(text: string): readonly string[] {
  const words = text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []
  return words.map((word) => word.replaceAll('"', ''))
}

/** The MAC address of the card that the machine was booted from, as iPXE and pxelinux pass it. */
export function bootInterface(commandLine: string): string | undefined {
  const word = splitCommandLine(commandLine).find((found) => found.startsWith('BOOTIF='))
  const match = /^BOOTIF=(?:01-)?((?:[0-9a-f]{2}[-:]){5}[0-9a-f]{2})$/i.exec(word ?? '')
  return match?.[1]?.replaceAll('-', ':').toLowerCase()
}

function commandLineAssignments(text: string): Assignment[] {
  return splitCommandLine(text)
    .filter((word) => word.startsWith('si.'))
    .map((word) => splitAssignment(word.slice('si.'.length)))
    .map(({ name, value }) => ({ name, value, place: `kernel parameter si.${name}` }))
}

function fileAssignments(text: string, faults: string[]): Assignment[] {
  const found: Assignment[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim()
    if (words === '' || words.startsWith('#')) continue
    const place = `local.cfg line ${index + 1}`
    if (/^[\w.-]+\s*(?:=|$)/.test(words)) {
      const { name, value } = splitAssignment(words.replace(/^si\./, ''))
      found.push({ name: name.trim(), value: unquote(value.trim()), place })
    } else faults.push(`${place}: is not NAME=VALUE`)
  }
  return found
}

/** What scripts are told has names of its own, so only `si.NAME` must be known. */
function serverAssignments(values: Readonly<Record<string, string>>): Assignment[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const name = key.replace(/^si\./, '')
    if (key === name && !isKnown(name)) return []
    return [{ name, value, place: `parameter ${key} of the server's configuration` }]
  })
}

/** What the words of si-deploy's options are called here. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  layout: 'layout in cluster.yaml',
  expect: 'si.image',
  trust: 'the ca.pem of the boot files',
}

/** A remedy that speaks of si-deploy's options, in the words of an installation: `--firmware none` → `si.firmware=none`. */
export function inParameters(remedy: string): string {
  return remedy.replace(
    /--(no-)?([a-z][a-z-]*[a-z])(?: (auto|bios|uefi|both|none|never))?/g,
    (option, no: string | undefined, name: string, value: string | undefined) => {
      if (!isKnown(name)) return OTHER_WORDS[name] ?? option
      const isSwitch = typeof parameterTable[name].fallback === 'boolean'
      return `si.${name}=${no === undefined ? (value ?? (isSwitch ? 'yes' : '')) : 'no'}`
    },
  )
}

/** A name alone means yes. */
function splitAssignment(text: string): { readonly name: string; readonly value: string } {
  const at = text.indexOf('=')
  return at < 0
    ? { name: text, value: 'yes' }
    : { name: text.slice(0, at), value: text.slice(at + 1) }
}

function unquote(value: string): string {
  return /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value
}

function isKnown(name: string): name is ParameterName {
  return Object.hasOwn(parameterTable, name)
}

function describeUnknown(name: string): string {
  const known = Object.keys(parameterTable)
  const near = nearest(name, known)
  const remedy = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`
  return `unknown parameter ${JSON.stringify(name)}: ${remedy}`
}

function withDefaults(values: Partial<Record<ParameterName, unknown>>): NodeParameters {
  const all = Object.entries(parameterTable).map(([name, { fallback }]) => [
    name,
    values[name as ParameterName] ?? fallback,
  ])
  return Object.fromEntries(all) as NodeParameters
}
