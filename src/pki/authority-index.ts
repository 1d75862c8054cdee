// The index of an authority: every certificate it issued, in one JSON document that people can read.
// Invariant: what is not in the index was never handed out.
import { z } from 'zod'
import { SiError } from '../core/core.ts'
import { ROLES } from './identity.ts'

export const REVOCATION_REASONS = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
] as const

export type RevocationReason = (typeof REVOCATION_REASONS)[number]

const recordSchema = z.strictObject({
  serial: z.string().regex(/^[0-9A-F]{1,40}$/),
  role: z.enum(ROLES),
  name: z.string(),
  notBefore: z.iso.datetime(),
  notAfter: z.iso.datetime(),
  revokedAt: z.iso.datetime().nullable(),
  reason: z.enum(REVOCATION_REASONS).nullable(),
})

const indexSchema = z.strictObject({
  format: z.literal('swarmimager-authority'),
  formatVersion: z.literal(1),
  /** Of the last CRL. */
  crlNumber: z.int().nonnegative(),
  certificates: z.array(recordSchema),
})

export type IssuedRecord = Readonly<z.infer<typeof recordSchema>>

export interface AuthorityIndex {
  readonly crlNumber: number
  readonly certificates: readonly IssuedRecord[]
}

export const EMPTY_INDEX: AuthorityIndex = { crlNumber: 0, certificates: [] }

/** Throws ERR_SI_AUTHORITY. */
export function parseIndex(text: string, path: string): AuthorityIndex {
  let fault: string
  try {
    const result = indexSchema.safeParse(JSON.parse(text))
    if (result.success) return result.data
    fault = z.prettifyError(result.error)
  } catch (error) {
    fault = String(error)
  }
  throw new SiError('ERR_SI_AUTHORITY', `Cannot read ${path}: ${fault}`, {
    hint: 'Restore the file from a backup',
  })
}

export function encodeIndex({ crlNumber, certificates }: AuthorityIndex): string {
  const document = { format: 'swarmimager-authority', formatVersion: 1, crlNumber, certificates }
  return `${JSON.stringify(document, null, 2)}\n`
}
