// A server that does not let us in, or that we do not believe: trying again changes nothing by itself.
import { errnoOf, isSiError, SiError } from '../../core/core.ts'

/** One of both certificates is not believed: trying again changes nothing. */
export function isRefusal(error: Error | undefined): error is Error {
  return isSiError(error) || (errnoOf(error)?.startsWith('ERR_SSL_') ?? false)
}

export function refusal(place: string, error: Error): SiError {
  return isSiError(error)
    ? new SiError('ERR_SI_UNTRUSTED', `Cannot trust ${place}: ${error.message}`, { cause: error })
    : new SiError('ERR_SI_UNTRUSTED', `${place} does not let us in: ${error.message}`, {
        hint: 'Its log names the reason: compare our certificate, its role and dates',
        cause: error,
      })
}
