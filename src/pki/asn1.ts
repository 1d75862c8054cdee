// Parsing of what others encoded. Invariant: whatever the bytes, the only error is a SiError.
import { AsnConvert } from '@peculiar/asn1-schema'
import { messageOf, SiError } from '../core/core.ts'
import { certificateError } from './pem.ts'

/** Parses DER into one of the library's classes. Throws ERR_SI_CERTIFICATE. */
export function parseAsn<T>(bytes: Uint8Array, type: new () => T, what: string): T {
  // Deep nesting ends in a RangeError of the stack, which is the input's fault as well.
  return guardAsn(what, () => AsnConvert.parse(toArrayBuffer(bytes), type))
}

/** The library also throws errors of its own where what it parsed is looked at or encoded again. */
export function guardAsn<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof SiError) throw error
    throw certificateError(what, `it is damaged (${messageOf(error)})`)
  }
}

export function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer
}

/** Serial numbers are compared and shown as upper-case hexadecimal without leading zeros. */
export function serialText(bytes: ArrayBuffer): string {
  return Buffer.from(bytes)
    .toString('hex')
    .toUpperCase()
    .replace(/^0+(?=.)/, '')
}

export function hexOf(value: unknown): string {
  return Buffer.from(AsnConvert.serialize(value)).toString('hex')
}
