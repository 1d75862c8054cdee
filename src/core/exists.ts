// Whether something is there, for those who do not care why not.
import { stat } from 'node:fs/promises'

/** False also where it cannot be looked at. Follows symbolic links. */
export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
