// Becomes another program, as exec(3) does: process number, terminal and exit status are that program's from then on. Invariant: it
// begins as it would have begun by itself: what Node changed of signals, standard streams and limits is taken back.
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { errnoOf } from '../core/core.ts'
import { check, libc } from './libc.ts'

const c = {
  signal: libc.func('void *signal(int, void *)'),
  fcntl: libc.func('int fcntl(int, int, ...)'),
  setrlimit: libc.func('int setrlimit(int, const uint64_t *)'),
}

const F_GETFL = 3
const F_SETFL = 4
const SIGPIPE = 13
const SIGXFSZ = 25
const RLIMIT_NOFILE = 7

/** The program's file, found as a shell would. Throws Node's ENOENT or EACCES. */
export function findProgram(name: string, path = process.env['PATH'] ?? ''): string {
  const candidates = name.includes('/')
    ? [name]
    : path.split(delimiter).map((folder) => join(folder === '' ? '.' : folder, name))
  let failure: unknown
  for (const candidate of candidates) {
    try {
      if (!statSync(candidate).isFile()) continue
      accessSync(candidate, constants.X_OK)
      return candidate
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') failure ??= error
    }
  }
  throw failure ?? Object.assign(new Error(`${name}: not found`), { code: 'ENOENT' })
}

/** Does not return. `file` is a path; `args` begin with the name the program is to have. */
export function replaceProcess(file: string, args: readonly string[]): never {
  restoreStreams()
  restoreSignals()
  restoreOpenFiles()
  process.execve?.(file, [...args], process.env)
  throw new Error('This Node cannot replace its process')
}

/** Node reads and writes without waiting; others do not expect that of their streams. */
function restoreStreams(): void {
  for (const fd of [0, 1, 2]) {
    const flags = c.fcntl(fd, F_GETFL) as number
    if (flags < 0 || (flags & constants.O_NONBLOCK) === 0) continue
    check('fcntl', c.fcntl(fd, F_SETFL, 'int', flags & ~constants.O_NONBLOCK) as number)
  }
}

/** What is ignored stays so over exec. */
function restoreSignals(): void {
  for (const number of [SIGPIPE, SIGXFSZ]) c.signal(number, null)
}

/** Node raises the number of open files to what is allowed; the parent still has what was meant. */
function restoreOpenFiles(): void {
  let text: string
  try {
    text = readFileSync(`/proc/${process.ppid}/limits`, 'latin1')
  } catch {
    return // another user's: it keeps what Node made of it
  }
  const [, soft = '', hard = ''] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(text) ?? []
  if (hard === '') return
  check(
    'setrlimit',
    c.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(BigInt(soft), BigInt(hard))) as number,
  )
}
