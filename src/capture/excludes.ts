// The list of rules of one capture: what is never captured, what the user said, what is left out by
// default, in this order, because the first rule that matches decides. Pure. Syntax: filter-rules.ts.
import { literalPattern, type RuleText } from './filter-rules.ts'

/**
 * Left out by default: contents that live in memory only, and what must differ between machines —
 * ssh host keys, the machine id, the seeds and secrets of systemd (systemd's "Building Images").
 */
export const DEFAULT_EXCLUDES: readonly string[] = [
  '/proc/*',
  '/sys/*',
  '/dev/*',
  '/run/*',
  '/tmp/*',
  '/etc/machine-id',
  '/var/lib/dbus/machine-id',
  '/etc/ssh/ssh_host_*_key',
  '/etc/ssh/ssh_host_*_key.pub',
  '/var/lib/systemd/random-seed',
  '/var/lib/systemd/credential.secret',
  '/boot/efi/loader/random-seed',
]

export interface ExcludeSource {
  readonly useDefaults: boolean
  /** The user's, or those that came with the image's last version. */
  readonly rules: readonly RuleText[]
  readonly mountPoints: readonly string[]
  /** Second places of captured file systems, swap files, the repository: never captured. */
  readonly paths: readonly { readonly path: string; readonly contentOnly: boolean }[]
}

/** The whole list, for the selection and for the manifest. */
export function buildExcludes(source: ExcludeSource): RuleText[] {
  const never = source.paths.map(({ path, contentOnly }) =>
    contentOnly ? contentPattern(path) : literalPattern(path),
  )
  const lostAndFound = source.mountPoints.map(
    (point) => `${literalPattern(`${point === '/' ? '' : point}/lost+found`)}/`,
  )
  const defaults = source.useDefaults ? [...DEFAULT_EXCLUDES, ...lostAndFound] : []
  const out = (pattern: string) => `- ${pattern}`
  return [...new Set([...never.map(out), ...source.rules, ...defaults.map(out)])]
}

/** `/srv` → `./srv`, the form of member names in our archives. */
export function toMember(path: string): string {
  return path === '/' ? '.' : `.${path}`
}

/** In a pattern with a wildcard every backslash escapes. */
function contentPattern(path: string): string {
  return `${path === '/' ? '' : path.replace(/[\\*?[]/g, '\\$&')}/*`
}
