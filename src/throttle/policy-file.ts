// The policy file of si-iopolicy → rules. One rule a line; the first that fits a process holds. Pure. Invariant: all faults are told at
// once, with their lines, and nothing is taken from a file that has one.
//
//     user   root       unlimited
//     user   alice      5MB/s
//     group  students   5MB/s joint                  all of them together; without "joint" each user by itself
//     group  professors read 50MB/s write 20MB/s,200iops
//     cgroup /batch     10MB/s                       that is there already
import { nearest } from '../config/config.ts'
import { isSiError, SiError } from '../core/core.ts'
import type { IoLimits } from '../host/host.ts'
import { parseIoRate, toIoLimits, UNLIMITED, type IoRate } from './io-rate.ts'

export interface PolicyRule {
  readonly line: number
  readonly kind: (typeof KINDS)[number]
  readonly name: string
  readonly limits: IoLimits
  /** One limit for the whole group. */
  readonly isJoint: boolean
}

const KINDS = ['user', 'group', 'cgroup'] as const

/** Throws ERR_SI_CONFIGURATION. */
export function parsePolicy(text: string, file: string): readonly PolicyRule[] {
  const faults: string[] = []
  const rules: PolicyRule[] = []
  for (const [index, whole] of text.split('\n').entries()) {
    const words = whole.replace(/#.*/, '').trim().split(/\s+/).filter(Boolean)
    if (words.length === 0) continue
    const line = index + 1
    try {
      const rule = parseRule(words, line)
      const same = rules.find(({ kind, name }) => kind === rule.kind && name === rule.name)
      if (same !== undefined)
        throw fault(`${rule.kind} ${rule.name} stands in line ${same.line} already, which holds`)
      rules.push(rule)
    } catch (error) {
      if (!isSiError(error)) throw error
      const hint = error.hint === undefined ? '' : ` (${error.hint})`
      faults.push(`line ${line}: ${error.message}${hint}`)
    }
  }
  if (faults.length === 0) return rules
  const all = faults.length === 1 ? ` ${faults[0]}` : faults.map((each) => `\n  ${each}`).join('')
  throw new SiError('ERR_SI_CONFIGURATION', `Cannot use ${file}:${all}`)
}

function parseRule(words: readonly string[], line: number): PolicyRule {
  const [word = '', name, ...rest] = words
  const kind = KINDS.find((each) => each === word)
  if (kind === undefined) {
    const near = nearest(word, KINDS)
    throw fault(
      `unknown word "${word}"`,
      near === undefined ? `known are ${KINDS.join(', ')}` : `did you mean ${near}?`,
    )
  }
  if (name === undefined) throw fault(`${kind} of what name?`)
  if (kind === 'cgroup' && !/^\/(?!.*(?:^|\/)\.\.(?:\/|$))./.test(name)) {
    throw fault(
      `"${name}" is no path of a cgroup`,
      'write it from the root of the hierarchy: /batch',
    )
  }
  const isJoint = rest.at(-1) === 'joint'
  if (isJoint && kind !== 'group')
    throw fault(`a ${kind} has one limit anyway`, 'leave out "joint"')
  const { read, write } = parseRates(isJoint ? rest.slice(0, -1) : rest)
  return { line, kind, name, limits: toIoLimits(read, write), isJoint }
}

/** `RATE`, or `read RATE`, `write RATE`, or both. */
function parseRates(words: readonly string[]): { readonly read: IoRate; readonly write: IoRate } {
  const [first = '', second, ...more] = words
  if (first === '') throw fault('no rate is given', 'such as 5MB/s, 200iops, or unlimited')
  if (first !== 'read' && first !== 'write') {
    if (second !== undefined)
      throw fault(`what is "${second}"?`, 'a rate may be followed by "joint"')
    return { read: parseIoRate(first), write: parseIoRate(first) }
  }
  if (second === undefined) throw fault(`no rate for "${first}" is given`)
  const both = { read: UNLIMITED, write: UNLIMITED, [first]: parseIoRate(second) }
  if (more.length === 0) return both
  const [other = '', rate, ...superfluous] = more
  if (
    (other !== 'read' && other !== 'write') ||
    other === first ||
    rate === undefined ||
    superfluous.length > 0
  ) {
    throw fault(`what is "${more.join(' ')}"?`, 'write: read RATE write RATE')
  }
  return { ...both, [other]: parseIoRate(rate) }
}

function fault(message: string, hint?: string): SiError {
  return new SiError('ERR_SI_CONFIGURATION', message, { hint })
}
