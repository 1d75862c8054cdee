// Errors between threads: structured cloning loses the class, code and hint of a SiError.
import { messageOf, SiError, type ErrorCode } from '../../core/core.ts'

export interface ThreadError {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | undefined
  readonly stack: string | undefined
}

/** What is not a SiError becomes ERR_SI_INTERNAL with the error's own words. */
export function packError(error: unknown): ThreadError {
  const isOurs = error instanceof SiError
  return {
    code: isOurs ? error.code : 'ERR_SI_INTERNAL',
    message: messageOf(error),
    hint: isOurs ? error.hint : undefined,
    stack: error instanceof Error ? error.stack : undefined,
  }
}

export function unpackError(packed: ThreadError): SiError {
  return new SiError(packed.code, packed.message, { hint: packed.hint, cause: packed.stack })
}
