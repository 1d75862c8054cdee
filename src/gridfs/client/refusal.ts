// Servers that do not let us in, and those that we do not believe, in words.
import { errnoOf, isSiError, SiError } from '../../core/core.ts'

/** The server believes us, and its rules do not give us what we want. */
export function refusedExport(place: string, exported: string, errno: string): SiError {
  return new SiError(
    'ERR_SI_FORBIDDEN',
    `${place} does not give us the export ${exported}: ${errno}`,
    {
      hint: 'Compare the export and its clients in the configuration of the server',
    },
  )
}

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
