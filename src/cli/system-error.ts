// System errors that no part of the program gave words of its own, such as a repository that this user
// may not read. Pure. Spec: errno(3).
import { getSystemErrorMessage } from 'node:util'
import { SiError } from '../core/core.ts'

const HINTS: Readonly<Partial<Record<string, string>>> = {
  EACCES: 'Run it as root, or choose a path that this user may use',
  EPERM: 'Run it as root, or choose a path that this user may use',
  EROFS: 'Choose a path on a file system that can be written',
  ENOSPC: 'Make room there, or choose another place',
  EDQUOT: 'Make room there, or choose another place',
  EMFILE: 'Raise the limit of open files with ulimit -n',
}

/** ERR_SI_SYSTEM_CALL for an error of the operating system; undefined for faults of the program. */
export function toSystemError(error: unknown): SiError | undefined {
  if (!(error instanceof Error) || error instanceof SiError) return undefined
  const { errno, code, syscall, path } = error as NodeJS.ErrnoException
  if (errno === undefined || code === undefined || syscall === undefined) return undefined
  const object = path === undefined ? '' : ` ${path}`
  const words = errno < 0 ? getSystemErrorMessage(errno) : error.message
  return new SiError('ERR_SI_SYSTEM_CALL', `Cannot ${syscall}${object}: ${words}`, {
    hint: HINTS[code],
    cause: error,
  })
}
