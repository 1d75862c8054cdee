// YAML (1.2) of an administrator, checked against a schema. Invariant: every fault says in which line of
// which file it is, all faults are told at once, and nothing is taken from a file that has one.
import { open } from 'node:fs/promises'
import { isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml'
import type * as z from 'zod'
import { messageOf, SiError } from '../core/core.ts'

/** A hundred thousand hosts, one by one, need no more. */
const MAX_FILE_BYTES = 16 * 2 ** 20

const MOST_FAULTS = 20

/** Keys and indexes from the root of the document to a value. */
export type ValuePath = readonly PropertyKey[]

export interface Configuration<T> {
  readonly file: string
  readonly value: T
  /** Line, from 1, of the key or list item; that of the nearest value above it where there is none. */
  lineOf(path: ValuePath): number
  /** What a schema cannot find out: ERR_SI_CONFIGURATION at this place. */
  fault(path: ValuePath, message: string, hint?: string): SiError
}

export interface ConfigurationOptions<T> {
  /** What messages call the text: its path, as a rule. */
  readonly file: string
  readonly schema: z.ZodType<T>
  /**
   * `text` leaves every value as it is written (001 stays 001, no is a word); `typed` makes numbers,
   * booleans and null of what looks like them.
   */
  readonly scalars: 'text' | 'typed'
}

/** Throws ERR_SI_CONFIGURATION. */
export async function readConfiguration<T>(
  options: ConfigurationOptions<T>,
): Promise<Configuration<T>> {
  return parseConfiguration(await readText(options.file), options)
}

/** Throws ERR_SI_CONFIGURATION. */
export function parseConfiguration<T>(
  text: string,
  { file, schema, scalars }: ConfigurationOptions<T>,
): Configuration<T> {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    schema: scalars === 'text' ? 'failsafe' : 'core',
    lineCounter: lines,
    prettyErrors: false,
  })
  const broken = document.errors.map(({ pos, message }) => ({
    line: lines.linePos(pos[0]).line,
    message,
  }))
  if (broken.length > 0) throw faulty(file, broken)
  const lineOf = (path: ValuePath) => lines.linePos(offsetOf(document, path)).line
  const result = schema.safeParse(toValue(document, file))
  if (!result.success) {
    const faults = result.error.issues.map((issue) => ({
      line: lineOf(placeOf(issue)),
      message: describe(issue),
    }))
    throw faulty(file, faults)
  }
  return {
    ...{ file, value: result.data, lineOf },
    fault: (path, message, hint) => faulty(file, [{ line: lineOf(path), message }], hint),
  }
}

/** Aliases may repeat what they name, but not grow without bound. */
function toValue(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw faulty(file, [{ line: 1, message: messageOf(error) }])
  }
}

interface Fault {
  readonly line: number
  readonly message: string
}

function faulty(file: string, faults: readonly Fault[], hint?: string): SiError {
  const sorted = faults.toSorted((a, b) => a.line - b.line)
  const shown = sorted.slice(0, MOST_FAULTS).map(({ line, message }) => `line ${line}: ${message}`)
  if (sorted.length > MOST_FAULTS) shown.push(`and ${sorted.length - MOST_FAULTS} more`)
  const list = shown.length === 1 ? ` ${shown.join('')}` : `\n  ${shown.join('\n  ')}`
  return new SiError('ERR_SI_CONFIGURATION', `Cannot use ${file}:${list}`, { hint })
}

type Issue = z.core.$ZodIssue

function placeOf(issue: Issue): ValuePath {
  const key = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
  return [...issue.path, ...key]
}

function describe({ path, code, message }: Issue): string {
  const where = path.filter((key) => typeof key === 'string').at(-1)
  const words = message.replace(/^Invalid input: /, '')
  return where === undefined || code === 'unrecognized_keys' ? words : `${String(where)}: ${words}`
}

/** Where the value begins that a path leads to, or the last of its keys that is there. */
function offsetOf(document: Document, path: ValuePath): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && keyText(item.key) === String(key))
      if (pair === undefined) break
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(key)]
      offset = startOf(node) ?? offset
    } else break
  }
  return offset
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key)
}

function startOf(node: unknown): number | undefined {
  return (node as { readonly range?: readonly number[] | null } | null | undefined)?.range?.[0]
}

async function readText(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r')
    const info = await handle.stat()
    if (!info.isFile()) throw new Error('it is no file')
    if (info.size > MAX_FILE_BYTES) throw new Error('it is too large')
    return await handle.readFile('utf8')
  } catch (error) {
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read ${file}: ${messageOf(error)}`, {
      hint: 'Check the path',
      cause: error,
    })
  }
}
