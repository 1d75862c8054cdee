// Names of racks: where in the building a machine stands, as its administrator calls it. They travel in
// announce URLs and are compared byte by byte.
import { SiError } from './errors.ts'

const MAX_RACK_CHARACTERS = 64

/** True for 1 to 64 printable ASCII characters. */
export function isRackName(value: unknown): value is string {
  return (
    typeof value === 'string' && value.length <= MAX_RACK_CHARACTERS && /^[\x20-\x7e]+$/.test(value)
  )
}

/** Throws ERR_SI_USAGE unless isRackName(). */
export function parseRackName(text: string): string {
  if (isRackName(text)) return text
  throw new SiError('ERR_SI_USAGE', `${JSON.stringify(text)} is no name of a rack`, {
    hint: `Give 1 to ${MAX_RACK_CHARACTERS} printable ASCII characters, such as hall2-r07`,
  })
}
