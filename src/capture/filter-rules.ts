// What stays out of an image, in rsync's words: a list of `- PATTERN` (out) and `+ PATTERN` (in), of which
// the first that matches decides; a directory that is out hides its content. Pure. Patterns and paths are
// text in which one character is one byte. Spec: rsync(1), "FILTER RULES", include and exclude only.
import { SiError } from '../core/core.ts'
import { matchesWild, matchesWildAnywhere } from './wild-match.ts'

/** One rule as `- PATTERN` or `+ PATTERN`; UTF-8 text, fit for the manifest. */
export type RuleText = string

export type RuleSign = '-' | '+'

const CLEARING = '!'

/**
 * Reads one argument of --exclude (`-`) or --include (`+`); a prefix of its own wins. Returns
 * undefined for `!`, which empties the list before it. Throws ERR_SI_USAGE for an empty pattern.
 */
export function parseRule(text: string, sign: RuleSign): RuleText | undefined {
  if (text === CLEARING) return undefined
  const hasPrefix = text.startsWith('- ') || text.startsWith('+ ')
  const rule = hasPrefix ? text : `${sign} ${text}`
  if (rule.length > 2 && !rule.includes('\0')) return rule
  throw new SiError('ERR_SI_USAGE', `Cannot use ${JSON.stringify(text)} as an exclude pattern`, {
    hint: 'Write a pattern as rsync takes it, such as /var/cache/*',
  })
}

/**
 * Reads a file of rules, one a line; empty lines and those that begin with `;` or `#` are comments.
 * `before` are the rules that stand before the file, which a line `!` removes.
 */
export function parseRuleFile(text: string, before: readonly RuleText[] = []): RuleText[] {
  const rules = [...before]
  for (const line of text.split(/[\r\n]/)) {
    if (/^(?:[;#]|$)/.test(line)) continue
    const rule = parseRule(line, '-')
    if (rule === undefined) rules.length = 0
    else rules.push(rule)
  }
  return rules
}

/** The pattern that matches this very path (`/srv/a*b`) and nothing else. */
export function literalPattern(path: string): string {
  return /[*?[]/.test(path) ? path.replace(/[\\*?[]/g, '\\$&') : path
}

/** Whether `path` (`etc/motd`, without a slash before it) matches; `name` is its last component. */
type Match = (path: string, name: string, isDirectory: boolean) => boolean

export interface Filter {
  readonly rules: readonly RuleText[]
  /** Index of the rule that keeps this object out, or -1. Its parents are the caller's to judge. */
  excludedBy(path: string, name: string, isDirectory: boolean): number
}

export function createFilter(rules: readonly RuleText[]): Filter {
  const matches = rules.map((rule) => compile(Buffer.from(rule.slice(2)).toString('latin1')))
  const isOut = rules.map((rule) => rule.startsWith('-'))
  return {
    rules,
    excludedBy(path, name, isDirectory) {
      for (let index = 0; index < matches.length; index++) {
        if (matches[index]?.(path, name, isDirectory)) return isOut[index] === true ? index : -1
      }
      return -1
    },
  }
}

function compile(text: string): Match {
  const isDirectoryOnly = text.length > 1 && text.endsWith('/')
  const pattern = isDirectoryOnly ? text.slice(0, -1) : text
  const match = /[*?[]/.test(pattern) ? compileWild(pattern) : compileLiteral(pattern)
  if (!isDirectoryOnly) return match
  return (path, name, isDirectory) => isDirectory && match(path, name, isDirectory)
}

function compileLiteral(pattern: string): Match {
  if (pattern.startsWith('/')) {
    const wanted = pattern.slice(1)
    return (path) => path === wanted
  }
  if (!pattern.includes('/')) return (_, name) => name === pattern
  const tail = `/${pattern}`
  return (path) => path === pattern || path.endsWith(tail)
}

function compileWild(pattern: string): Match {
  const isDeep = pattern.includes('**')
  const isAnchored = pattern.startsWith('/')
  const body = isAnchored ? pattern.slice(1) : pattern
  const slashes = pattern.split('/').length - 1
  if (slashes === 0 && !isDeep) return (_, name) => matchesWild(body, name)
  const isDeepFirst = pattern.startsWith('**')
  // `dir/***` also matches the directory itself; `**/x` also one at the top.
  const suffix = pattern.endsWith('***') ? '/' : ''
  const prefix = isDeepFirst ? '/' : ''
  const subject = (path: string, isDirectory: boolean) =>
    `${prefix}${path}${isDirectory ? suffix : ''}`
  if (!isAnchored && !isDeep) {
    return (path) => {
      const start = startOfTail(path, slashes + 1)
      return start !== -1 && matchesWild(body, path, start)
    }
  }
  if (!isAnchored && !isDeepFirst) {
    return (path, _, isDirectory) => matchesWildAnywhere(body, subject(path, isDirectory))
  }
  const fixed = /^[^*?[\\]*/.exec(body)?.[0] ?? ''
  return (path, _, isDirectory) => {
    const text = subject(path, isDirectory)
    return text.startsWith(fixed) && matchesWild(body, text)
  }
}

/** Where the last `count` components begin, -1 when there are fewer. */
function startOfTail(path: string, count: number): number {
  let slash = path.length
  for (let left = count; left > 0; left--) {
    if (slash <= 0) return -1
    slash = path.lastIndexOf('/', slash - 1)
    if (slash === -1) return left === 1 ? 0 : -1
  }
  return slash + 1
}
