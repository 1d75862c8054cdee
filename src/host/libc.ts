// The C library as this folder calls it, and its errors in the form of Node's own.
import { getSystemErrorMap } from 'node:util'
import koffi from 'koffi'
import { asBuffer } from '../core/core.ts'

export type SystemPath = string | Uint8Array

export const libc = koffi.load(null) // the one that this process has loaded anyway

/** Node makes a new map at every call. */
const KNOWN_ERRORS = getSystemErrorMap()

export function check(syscall: string, result: number): number {
  if (result < 0) throw lastError(syscall)
  return result
}

export function lastError(syscall: string, path?: SystemPath): NodeJS.ErrnoException {
  return systemError(syscall, koffi.errno(), path)
}

export function systemError(
  syscall: string,
  errno: number,
  path?: SystemPath,
): NodeJS.ErrnoException {
  const [code, words] = KNOWN_ERRORS.get(-errno) ?? [nameOfErrno(errno), 'system call failed']
  const text = path === undefined || typeof path === 'string' ? path : asBuffer(path).toString()
  const message = `${code}: ${words}, ${syscall}${text === undefined ? '' : ` '${text}'`}`
  const error: NodeJS.ErrnoException = Object.assign(new Error(message), {
    errno: -errno,
    code,
    syscall,
  })
  if (text !== undefined) error.path = text
  return error
}

/** libuv does not know every errno; koffi knows the rest. */
function nameOfErrno(errno: number): string {
  const found = Object.entries(koffi.os.errno).find(([, number]) => number === errno)
  return found?.[0] ?? `E${errno}`
}

/** A path with the NUL that C wants behind it. */
export function terminated(path: SystemPath): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path
  const withNul = Buffer.alloc(bytes.length + 1)
  withNul.set(bytes)
  return withNul
}
