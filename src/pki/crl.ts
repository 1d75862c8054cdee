// A certificate revocation list as its facts (RFC 5280 §5). Invariant: one that restricts itself in a way
// that is not understood (a delta, a part of the certificates) is refused, never half believed.
import { verify as verifySignature, type KeyObject } from 'node:crypto'
import { CertificateList } from '@peculiar/asn1-x509'
import { guardAsn, hexOf, parseAsn, serialText } from './asn1.ts'
import type { Certificate } from './certificate.ts'
import { certificateError, parsePemOrDer } from './pem.ts'
import { SIGNATURE_ALGORITHMS } from './signature-algorithms.ts'

export interface Crl {
  /** Encoded name of the issuer, for comparing. */
  readonly issuerKey: string
  readonly thisUpdate: Date
  /** undefined: the issuer promises no next one. */
  readonly nextUpdate: Date | undefined
  /** When, by serial number. */
  readonly revoked: ReadonlyMap<string, Date>
  isSignedBy(issuer: Certificate): boolean
}

/** Parses DER. Throws ERR_SI_CERTIFICATE. */
export function parseCrl(bytes: Uint8Array, what = 'CRL'): Crl {
  return guardAsn(what, () => readCrl(bytes, what))
}

function readCrl(bytes: Uint8Array, what: string): Crl {
  const list = parseAsn(bytes, CertificateList, what)
  const { tbsCertList: tbs, signatureAlgorithm, signature, tbsCertListRaw } = list
  const extensions = tbs.crlExtensions ?? []
  const critical = extensions.find((extension) => extension.critical)
  if (critical !== undefined) {
    const reason = `it holds the critical extension ${critical.extnID}`
    throw certificateError(what, reason, 'Use a complete CRL, not a delta or a part of one')
  }
  const revoked = new Map<string, Date>()
  for (const { userCertificate, revocationDate, crlEntryExtensions } of tbs.revokedCertificates ??
    []) {
    if (crlEntryExtensions?.some((extension) => extension.critical) === true) {
      throw certificateError(what, 'it is an indirect CRL')
    }
    revoked.set(serialText(userCertificate), revocationDate.getTime())
  }
  const algorithm = signatureAlgorithm.algorithm
  return {
    issuerKey: hexOf(tbs.issuer),
    thisUpdate: tbs.thisUpdate.getTime(),
    nextUpdate: tbs.nextUpdate?.getTime(),
    revoked,
    isSignedBy: ({ publicKey }) =>
      tbsCertListRaw !== undefined &&
      verifies({ algorithm, publicKey, signature, signed: tbsCertListRaw }),
  }
}

/** All CRLs of a PEM file, or of a file that is one in DER. Throws ERR_SI_CERTIFICATE. */
export function parseCrls(file: Uint8Array, what: string): readonly Crl[] {
  return parsePemOrDer(file, 'X509 CRL')
    .filter(({ label }) => label === 'X509 CRL')
    .map(({ bytes }) => parseCrl(bytes, what))
}

function verifies(given: {
  readonly algorithm: string
  readonly publicKey: KeyObject
  readonly signature: ArrayBuffer
  readonly signed: ArrayBuffer
}): boolean {
  const { algorithm, publicKey, signature, signed } = given
  const known = SIGNATURE_ALGORITHMS.get(algorithm)
  if (known === undefined) return false
  try {
    return verifySignature(known.hash, Buffer.from(signed), publicKey, Buffer.from(signature))
  } catch {
    return false // a key of another kind than the signature's
  }
}
