// Errors as the kernel wants them: a number. This is the only place where an error becomes one.
import { constants } from 'node:os'
import { errnoOf, isSiError } from '../../core/core.ts'

export type ErrnoName = keyof typeof constants.errno | 'ESTALE' | 'ENODATA' | 'EREMOTEIO'

/** What a file system throws to have a call fail: the errno's name in `code`, as in errors of Node. */
export class FuseError extends Error {
  readonly code: ErrnoName

  constructor(code: ErrnoName, message: string = code) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0 // an answer, thousands a second, that nobody prints
    super(message)
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'FuseError'
    this.code = code
  }
}

const NUMBERS: Readonly<Record<string, number>> = constants.errno
/** Linux's generic numbers; the architectures that differ (alpha, mips, sparc) are none of Node 24's. */
const FURTHER: Readonly<Record<string, number>> = { ENODATA: 61, ESTALE: 116, EREMOTEIO: 121 }

/** The number of an error's errno; EINTR for an aborted operation, EIO for what has none. */
export function errnoNumber(error: unknown): number {
  if (isSiError(error, 'ERR_SI_ABORTED')) return constants.errno.EINTR
  const code = errnoOf(error) ?? ''
  return NUMBERS[code] ?? FURTHER[code] ?? constants.errno.EIO
}

const NAMES = new Map(
  Object.entries({ ...NUMBERS, ...FURTHER }).map(([name, number]) => [number, name as ErrnoName]),
)

/** The name of an errno's number; EIO for one that is unknown. */
export function errnoName(number: number): ErrnoName {
  return NAMES.get(number) ?? 'EIO'
}
