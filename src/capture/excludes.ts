// What does not belong into an image. Patterns are GNU tar's, anchored at the root of the tree: `*`
// matches slashes too, `[`, `?` and `\` have their usual meaning. People write `/var/cache/*`; tar
// gets `./var/cache/*`. Pure. Spec: GNU tar manual, "Controlling Pattern-Matching".

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
  /** As the user wrote them: `/x`, `./x` and `x` all mean the same. */
  readonly patterns: readonly string[]
  readonly mountPoints: readonly string[]
  /** Second places of captured file systems, swap files, the repository: never captured. */
  readonly paths: readonly { readonly path: string; readonly contentOnly: boolean }[]
}

/** The whole list for the manifest, in the form `/path`. */
export function buildExcludes(source: ExcludeSource): string[] {
  const lostAndFound = source.mountPoints.map((point) => `${inside(point)}lost+found`)
  const always = source.paths.map(({ path, contentOnly }) =>
    contentOnly ? `${inside(path)}*` : escapePattern(path),
  )
  const chosen = source.useDefaults ? [...DEFAULT_EXCLUDES, ...lostAndFound] : []
  return [...new Set([...chosen, ...always, ...source.patterns.map(toAbsolute)])]
}

/** `/srv` → `./srv`, the form of member names and patterns in our archives. */
export function toMember(path: string): string {
  return path === '/' ? '.' : `.${path}`
}

function inside(path: string): string {
  return path === '/' ? '/' : `${escapePattern(path)}/`
}

function toAbsolute(pattern: string): string {
  return `/${pattern.replace(/^(?:\.?\/)+/, '')}`
}

function escapePattern(path: string): string {
  return path.replace(/[\\*?[\]]/g, '\\$&')
}
