// The command that runs on the golden client, and the meaning of what tar says on standard error.
// Invariant: the archive holds everything Linux keeps about a file, in an order that does not depend
// on the directory's hash order. Spec: GNU tar manual; FORMAT.md of the image folder.
import { formatBytesForPeople } from '../core/core.ts'
import { quoteForShell } from './probe-script.ts'
import type { Selection } from './selection.ts'

/** The script; tar takes the place of the shell, and reads member names from its standard input. */
export function tarScript(options: {
  readonly root: string
  readonly selection: Pick<Selection, 'deep' | 'deepExcluded'>
}): string {
  const { deep, deepExcluded } = options.selection
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
    '--ignore-failed-read', // what vanishes or cannot be read is reported, see below
    '--no-unquote',
    '--null',
    '--no-recursion',
    '--file=-',
    '--directory',
    options.root,
    '--files-from=-',
  ]
  return `LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
unset TAR_OPTIONS TAPE
export LC_ALL PATH
${deepWords([...deepExcluded, ...deep])}
exec tar ${args.map(quoteForShell).join(' ')}${deepArguments(deepExcluded.length, deep.length)}
`
}

/** Variables w0, w1 … that hold these names; any bytes but NUL, a newline at the end included. */
function deepWords(names: readonly Buffer[]): string {
  const octal = (name: Buffer) =>
    Array.from(name, (byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  return names.map((name, i) => `w${i}=$(printf '${octal(name)}.') w${i}=\${w${i}%.}`).join('\n')
}

/** Paths too long for one system call: tar walks from a directory above them, step by step. */
function deepArguments(excludedCount: number, count: number): string {
  if (count === 0) return ''
  const word = (prefix: string, index: number) => ` "${prefix}$w${index}"`
  const excludes = Array.from({ length: excludedCount }, (_, i) => word('--exclude=', i))
  const names = Array.from({ length: count }, (_, i) => word('', excludedCount + i))
  return ` --recursion --anchored --no-wildcards${excludes.join('')}${names.join('')}`
}

/** What tar said about files, collected while it runs. */
export interface TarMessages {
  /** Paths in the form `/etc/motd`, bytes that are not UTF-8 as `\xNN`; at most CHANGED_FILES_KEPT. */
  readonly changedFiles: readonly string[]
  /** How many there were in all. */
  readonly changedCount: number
  /** Changes that mean nothing to the image. */
  readonly indifferentCount: number
  /** Sentences about files that could not be read and are not in the image. */
  readonly unread: readonly string[]
  /** Other warnings for people, each kind once. */
  readonly notes: readonly string[]
  /** True when the archive holds zeros in the place of data that could not be read. */
  readonly hasReadError: boolean
  /** The last lines that are errors, for the message of a failed capture. */
  readonly errors: readonly string[]
}

/** Enough to show which part of the system is busy; more only makes the manifest large. */
const CHANGED_FILES_KEPT = 10_000
const ERRORS_KEPT = 3
const NOTES_KEPT = 100

const CHANGED =
  /^(.*): (?:file changed as we read it|File removed before we read it|File shrank by .*|socket ignored|Warning: Cannot (?:stat|open|readlink): No such file or directory)$/
/** The image would hold zeros in the place of data: no image at all is better. */
const READ_ERROR = /^(.*): Warning: (Read error .*|Cannot seek .*)$/
const UNREAD = /^(.*): Warning: (Cannot (?:stat|open|readlink|savedir|close): .*)$/
const UNSUPPORTED = /^(POSIX ACL support|SELinux support|XATTR support) is not available/
const WARNING = /^(.*: Warning: .*)$/
const SUMMARY = /^Exiting with failure status|^Error is not recoverable/

export interface TarMessageReader {
  push(text: string): void
  end(): TarMessages
}

/**
 * Reads tar's standard error in any portions; `end()` gives what it said. Of `indifferent` paths only the directory
 * is archived, on which another file system is mounted: that this one changes, as /sys does all the time, means nothing.
 */
export function createTarMessageReader(
  indifferent: ReadonlySet<string> = new Set(),
): TarMessageReader {
  const changed = new Set<string>()
  const notes = new Set<string>()
  const unread = new Set<string>()
  const errors: string[] = []
  let changedCount = 0
  let hasReadError = false
  let rest = ''
  let indifferentCount = 0
  const noteChanged = (path: string) => {
    if (indifferent.has(path)) {
      indifferentCount++
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
    const [, unreadPath, why] = UNREAD.exec(message) ?? []
    if (unreadPath !== undefined && why !== undefined) {
      const text = `Not captured, because it cannot be read: ${formatMember(unreadPath)}: ${why}`
      if (unread.size < NOTES_KEPT) unread.add(text)
      return
    }
    const isReadError = READ_ERROR.test(message)
    hasReadError ||= isReadError
    const note = isReadError ? undefined : (UNSUPPORTED.exec(message) ?? WARNING.exec(message))?.[1]
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
        ...{ changedFiles: [...changed], changedCount, indifferentCount, unread: [...unread] },
        ...{ notes: [...notes], errors: [...errors], hasReadError },
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
