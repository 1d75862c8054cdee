// Names with ranges, as ClusterShell writes them: `node[001-128,200]`, `r[1-2]n[01-10/3]`, lists of such with
// commas or blanks between. Invariant: parsing never makes more than MAX_NAMES names, whoever wrote the text.
// Numbers keep the width of the first one where that begins with a zero.
import { SiError } from '../core/core.ts'

/** More hosts than one image server has. */
const MAX_NAMES = 65_536

/** Digits of MAC and IPv6 addresses are hexadecimal. */
export type Radix = 10 | 16

/** Every name that the pattern stands for, in its order. Throws ERR_SI_USAGE. */
export function expandRange(pattern: string, radix: Radix = 10): readonly string[] {
  let names: readonly string[] = ['']
  for (const part of splitBrackets(pattern)) {
    const choices = part.startsWith('[') ? expandBracket(part, pattern, radix) : [part]
    if (names.length * choices.length > MAX_NAMES) throw tooMany(pattern)
    names = names.flatMap((name) => choices.map((choice) => name + choice))
  }
  return names
}

/** Names of a list such as `login,node[1-3]`; one that stands twice is there once. Throws ERR_SI_USAGE. */
export function expandList(list: string): readonly string[] {
  const names = new Set<string>()
  for (const pattern of list.match(/(?:\[[^\]]*\]?|[^\s,[])+/g) ?? []) {
    for (const name of expandRange(pattern)) names.add(name)
    if (names.size > MAX_NAMES) throw tooMany(list)
  }
  return [...names]
}

/** The shortest list of ranges for these names, sorted; what expandList() reads back. */
export function foldNames(names: Iterable<string>): string {
  const all = [...new Set(names)].map((name) => parseNumbered(name) ?? name)
  const literals = all.filter((name) => typeof name === 'string')
  const numbered = all.filter((name) => typeof name !== 'string')
  const families = Map.groupBy(numbered, ({ family }) => family)
  const folded = [...families.values()].flatMap((family) => foldFamily(family))
  return [...literals, ...folded].sort().join(',')
}

function splitBrackets(pattern: string): readonly string[] {
  const parts = pattern.match(/\[[^[\]]*\]|[^[\]]+/g) ?? []
  if (parts.join('') === pattern) return parts
  throw unreadable(pattern, 'a bracket is not closed')
}

function expandBracket(bracket: string, pattern: string, radix: Radix): readonly string[] {
  return bracket
    .slice(1, -1)
    .split(',')
    .flatMap((range) => expandNumbers(range.trim(), pattern, radix))
}

const NUMBERS = { 10: /^(\d+)(?:-(\d+)(?:\/(\d+))?)?$/, 16: /^([\da-f]+)(?:-([\da-f]+))?$/i }

function expandNumbers(range: string, pattern: string, radix: Radix): readonly string[] {
  const [, from = '', to = from, stepText = '1'] = NUMBERS[radix].exec(range) ?? []
  if (from === '') throw unreadable(pattern, `"${range}" is no range of numbers`)
  const [first, last, step] = [parseInt(from, radix), parseInt(to, radix), Number(stepText)]
  if (!Number.isSafeInteger(last) || step < 1) throw unreadable(pattern, `"${range}" is too large`)
  if (last < first) throw unreadable(pattern, `"${range}" ends before it begins`)
  const count = Math.floor((last - first) / step) + 1
  if (count > MAX_NAMES) throw tooMany(pattern)
  const width = from.startsWith('0') ? from.length : 0
  return Array.from({ length: count }, (_, index) =>
    (first + index * step).toString(radix).padStart(width, '0'),
  )
}

interface NumberedName {
  /** All but the number. */
  readonly family: string
  readonly prefix: string
  readonly suffix: string
  readonly digits: string
}

/** Numbers with more digits cannot be counted on. */
const MAX_DIGITS = 15

/** Splits at the last number of a name; undefined where there is none. */
function parseNumbered(name: string): NumberedName | undefined {
  const [, prefix = '', digits = '', suffix = ''] = /^(.*?)(\d+)(\D*)$/s.exec(name) ?? []
  if (digits === '' || digits.length > MAX_DIGITS) return undefined
  return { family: `${prefix}\0${suffix}`, prefix, suffix, digits }
}

/** 9 and 10 are a range, so are 09 and 10, but not all three: the width tells them apart. */
function foldFamily(family: readonly NumberedName[]): readonly string[] {
  const padded = new Set(
    family.flatMap(({ digits }) => (/^0./.test(digits) ? [digits.length] : [])),
  )
  const byWidth = Map.groupBy(family, ({ digits }) =>
    padded.has(digits.length) ? digits.length : 0,
  )
  return [...byWidth].map(([width, members]) => {
    const numbers = members.map(({ digits }) => Number(digits)).sort((a, b) => a - b)
    const { prefix = '', suffix = '' } = members[0] ?? {}
    const ranges = foldNumbers(numbers).map(([first, last]) =>
      [...new Set([first, last])].map((number) => String(number).padStart(width, '0')).join('-'),
    )
    const isOne = ranges.length === 1 && members.length === 1
    return `${prefix}${isOne ? ranges.join('') : `[${ranges.join(',')}]`}${suffix}`
  })
}

function foldNumbers(numbers: readonly number[]): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges
}

function unreadable(pattern: string, why: string): SiError {
  return new SiError('ERR_SI_USAGE', `Cannot read ${JSON.stringify(pattern)}: ${why}`, {
    hint: 'Write names with ranges such as node[001-128,200]',
  })
}

function tooMany(pattern: string): SiError {
  const shown = pattern.length > 60 ? `${pattern.slice(0, 60)}…` : pattern
  return new SiError('ERR_SI_USAGE', `${JSON.stringify(shown)} is more than ${MAX_NAMES} names`)
}
