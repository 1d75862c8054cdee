// Why a port cannot be had, in the words that both HTTP and peers use.
import { errnoOf, messageOf, SiError } from './errors.ts'

/** ERR_SI_LISTEN; `what` is what would have listened, such as `for peers`. */
export function listenError(
  error: unknown,
  where: { readonly what: string; readonly host: string; readonly port: number },
): SiError {
  const { what, host, port } = where
  const isTaken = errnoOf(error) === 'EADDRINUSE'
  return new SiError(
    'ERR_SI_LISTEN',
    `Cannot listen ${what} on ${host} port ${port}: ${isTaken ? 'it is in use' : messageOf(error)}`,
    {
      hint: isTaken
        ? 'End the other program, or choose another port'
        : 'Choose an address of this machine and a port that this user may use',
      cause: error,
    },
  )
}
