// The command that runs on the golden client, and the meaning of what tar says on standard error.
// Invariant: the archive holds everything Linux keeps about a file, in an order that does not depend
// on the directory's hash order. Spec: GNU tar manual; FORMAT.md of the image folder.
import { formatBytesForPeople } from '../core/core.ts'
import { toMember } from './excludes.ts'
import { quoteForShell } from './probe-script.ts'

/** The script for `sh -s`; tar takes the place of the shell, so a signal reaches it. */
export function tarScript(options: {
  readonly root: string
  /** Relative to the root, parents first; `/` is the root itself. */
  readonly mountPoints: readonly string[]
  /** In the form `/path`. */
  readonly excludes: readonly string[]
}): string {
  const args = [
    '--create',
    '--format=posix',
    '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
    '--xattrs',
    '--xattrs-include=*',
    '--acls',
    '--selinux',
    '--sparse',
    '--sparse-version=0.0', // later ones put tar's process id into the archive
    '--numeric-owner',
    '--sort=name',
    '--one-file-system',
    '--warning=no-xdev',
    '--warning=no-file-ignored',
    '--anchored',
    ...options.excludes.map((pattern) => `--exclude=.${pattern}`),
    '--file=-',
    '--directory',
    options.root,
    '--',
    ...options.mountPoints.map(toMember),
  ]
  return `LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
unset TAR_OPTIONS TAPE
export LC_ALL PATH
exec tar ${args.map(quoteForShell).join(' ')} </dev/null
`
}

/** What tar said about files, collected while it runs. */
export interface TarMessages {
  /** Paths in the form `/etc/motd`, bytes that are not UTF-8 as `\xNN`; at most CHANGED_FILES_KEPT. */
  readonly changedFiles: readonly string[]
  /** How many there were in all. */
  readonly changedCount: number
  /** Changed directories of which only the name is captured, such as /run. */
  readonly ignoredCount: number
  /** Other warnings for people, each kind once. */
  readonly notes: readonly string[]
  /** The last lines that are errors, for the message of a failed capture. */
  readonly errors: readonly string[]
}

/** Enough to show which part of the system is busy; more only makes the manifest large. */
const CHANGED_FILES_KEPT = 10_000
const ERRORS_KEPT = 3
const NOTES_KEPT = 100

const CHANGED =
  /^(.*): (?:file changed as we read it|File removed before we read it|File shrank by .*)$/
const UNSUPPORTED = /^(POSIX ACL support|SELinux support|XATTR support) is not available/
const WARNING = /^(.*: Warning: .*)$/
const SUMMARY = /^Exiting with failure status|^Error is not recoverable/

export interface TarMessageReader {
  push(text: string): void
  end(): TarMessages
}

/**
 * Reads tar's standard error in any portions; `end()` gives what it said. A directory whose whole
 * content is excluded (`/run/*`) is not reported as changed: what changed is not in the image.
 */
export function createTarMessageReader(excludes: readonly string[] = []): TarMessageReader {
  const emptied = new Set(excludes.filter((e) => e.endsWith('/*')).map((e) => e.slice(0, -2)))
  const changed = new Set<string>()
  const notes = new Set<string>()
  const errors: string[] = []
  let changedCount = 0
  let ignoredCount = 0
  let rest = ''
  const noteChanged = (path: string) => {
    if (emptied.has(path)) {
      ignoredCount++
      return
    }
    changedCount++
    if (changed.size < CHANGED_FILES_KEPT) changed.add(path)
  }
  const readLine = (line: string) => {
    const message = /^(?:\S*\/)?tar: (.*)$/.exec(line)?.[1]
    if (message === undefined || SUMMARY.test(message)) return
    const path = CHANGED.exec(message)?.[1]
    if (path !== undefined) {
      noteChanged(formatMember(path))
      return
    }
    const note = (UNSUPPORTED.exec(message) ?? WARNING.exec(message))?.[1]
    if (note === undefined) errors.push(message)
    else if (notes.size < NOTES_KEPT) notes.add(note)
    if (errors.length > ERRORS_KEPT) errors.shift()
  }
  return {
    push(text) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      lines.forEach(readLine)
    },
    end() {
      if (rest !== '') readLine(rest)
      rest = ''
      return {
        ...{ changedFiles: [...changed], changedCount, ignoredCount },
        ...{ notes: [...notes], errors: [...errors] },
      }
    },
  }
}

const ESCAPES: Readonly<Partial<Record<string, number>>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
}

/** A member name as tar quotes it in the C locale (`escape` style) → a path for people. */
export function formatMember(quoted: string): string {
  const bytes: number[] = []
  for (let index = 0; index < quoted.length; index++) {
    const octal = /^\\([0-3][0-7]{2})/.exec(quoted.slice(index, index + 4))?.[1]
    const next = quoted[index + 1]
    if (octal !== undefined) {
      bytes.push(Number.parseInt(octal, 8))
      index += 3
    } else if (quoted[index] === '\\' && next !== undefined) {
      bytes.push(ESCAPES[next] ?? next.charCodeAt(0))
      index++
    } else {
      bytes.push(...Buffer.from(quoted[index] ?? ''))
    }
  }
  const path = formatBytesForPeople(Uint8Array.from(bytes))
  return path === '.' ? '/' : path.replace(/^\.\//, '/')
}
