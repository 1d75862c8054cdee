// PEM armour (RFC 7468), and files that hold either PEM blocks or one bare DER object. Pure.
import { SiError } from '../core/core.ts'

export interface PemBlock {
  /** `CERTIFICATE`, `X509 CRL` … */
  readonly label: string
  readonly bytes: Buffer
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g
const LINE_LENGTH = 64
const DER_SEQUENCE = 0x30

/** Text before, between and after blocks is passed over, as openssl writes it there. */
export function parsePem(text: string): readonly PemBlock[] {
  return [...text.matchAll(BLOCK)].map(([, label = '', body = '']) => ({
    label,
    bytes: Buffer.from(body, 'base64'),
  }))
}

/** The blocks of a PEM file, or the file itself as one block of `derLabel` when it is bare DER. */
export function parsePemOrDer(file: Uint8Array, derLabel: string): readonly PemBlock[] {
  if (file[0] === DER_SEQUENCE) return [{ label: derLabel, bytes: Buffer.from(file) }]
  return parsePem(Buffer.from(file).toString('latin1'))
}

export function encodePem(label: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('base64')
  const lines = text.match(new RegExp(`.{1,${LINE_LENGTH}}`, 'g')) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** What a file holds that is no certificate, key, request or CRL of use. */
export function certificateError(what: string, reason: string, hint?: string): SiError {
  return new SiError('ERR_SI_CERTIFICATE', `Cannot use ${what}: ${reason}`, { hint })
}
