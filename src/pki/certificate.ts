// An X.509 certificate as its facts (RFC 5280). Encodings are read by asn1-x509; the key and every
// signature by OpenSSL through node:crypto. Invariant: a critical extension that is not understood is
// reported, so that whoever relies on the certificate can refuse it.
import { X509Certificate, type KeyObject } from 'node:crypto'
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate as AsnCertificate,
  ExtendedKeyUsage,
  KeyUsage,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  type KeyUsageType,
} from '@peculiar/asn1-x509'
import { messageOf } from '../core/core.ts'
import { guardAsn, hexOf, parseAsn, serialText } from './asn1.ts'
import { parseIdentityUri, type Identity } from './identity.ts'
import { certificateError, parsePemOrDer } from './pem.ts'
import { SIGNATURE_ALGORITHMS } from './signature-algorithms.ts'

export interface Certificate {
  /** DER. */
  readonly bytes: Buffer
  /** For people, in one line. */
  readonly subject: string
  readonly issuer: string
  /** The encoded names, for comparing. */
  readonly subjectKey: string
  readonly issuerKey: string
  /** Upper-case hexadecimal. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly isAuthority: boolean
  /** How many authorities may follow below this one. */
  readonly pathLength: number
  /** undefined: not restricted. */
  readonly keyUsages: readonly KeyUsageType[] | undefined
  readonly extendedKeyUsages: readonly string[] | undefined
  readonly identities: readonly Identity[]
  readonly unknownCritical: readonly string[]
  /** Hexadecimal. */
  readonly subjectKeyId: string | undefined
  readonly authorityKeyId: string | undefined
  readonly publicKey: KeyObject
  /** Checks the signature alone; false also where its algorithm is too weak to mean anything. */
  isSignedBy(issuer: Certificate): boolean
}

const BASIC_CONSTRAINTS = '2.5.29.19'
const KEY_USAGE = '2.5.29.15'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17'
const SUBJECT_KEY_ID = '2.5.29.14'
const AUTHORITY_KEY_ID = '2.5.29.35'
/** Says under which rules the certificate was issued and restricts nothing that is asked here. */
const CERTIFICATE_POLICIES = '2.5.29.32'

const UNDERSTOOD = new Set([
  BASIC_CONSTRAINTS,
  KEY_USAGE,
  EXTENDED_KEY_USAGE,
  SUBJECT_ALTERNATIVE_NAME,
  SUBJECT_KEY_ID,
  AUTHORITY_KEY_ID,
  CERTIFICATE_POLICIES,
])

const CERTIFICATE_MAX_BYTES = 64 * 1024
const RSA_MINIMUM_BITS = 2048
const CURVES = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

/** Parses DER. Throws ERR_SI_CERTIFICATE. */
export function parseCertificate(bytes: Uint8Array, what = 'certificate'): Certificate {
  return guardAsn(what, () => readCertificate(bytes, what))
}

function readCertificate(bytes: Uint8Array, what: string): Certificate {
  if (bytes.length > CERTIFICATE_MAX_BYTES) throw certificateError(what, 'it is too large')
  const { tbsCertificate: tbs, signatureAlgorithm } = parseAsn(bytes, AsnCertificate, what)
  const native = parseNative(bytes, what)
  const extensions = new Map<string, Uint8Array>()
  for (const { extnID, extnValue } of tbs.extensions ?? []) {
    if (extensions.has(extnID)) throw certificateError(what, `it holds extension ${extnID} twice`)
    extensions.set(extnID, new Uint8Array(extnValue.buffer))
  }
  const extension = <T>(id: string, type: new () => T): T | undefined => {
    const value = extensions.get(id)
    return value === undefined ? undefined : parseAsn(value, type, what)
  }
  const constraints = extension(BASIC_CONSTRAINTS, BasicConstraints)
  const keyUsage = extension(KEY_USAGE, KeyUsage)
  const extended = extension(EXTENDED_KEY_USAGE, ExtendedKeyUsage)
  const names = extension(SUBJECT_ALTERNATIVE_NAME, SubjectAlternativeName) ?? []
  const uris = [...names].flatMap((name) => name.uniformResourceIdentifier ?? [])
  const isStrong = SIGNATURE_ALGORITHMS.has(signatureAlgorithm.algorithm)
  return {
    bytes: Buffer.from(bytes),
    subject: oneLine(native.subject),
    issuer: oneLine(native.issuer),
    subjectKey: hexOf(tbs.subject),
    issuerKey: hexOf(tbs.issuer),
    serial: serialText(tbs.serialNumber),
    notBefore: checkDate(tbs.validity.notBefore.getTime(), what),
    notAfter: checkDate(tbs.validity.notAfter.getTime(), what),
    isAuthority: constraints?.cA === true,
    pathLength: constraints?.pathLenConstraint ?? Infinity,
    keyUsages: keyUsage?.toJSON(),
    extendedKeyUsages: extended === undefined ? undefined : [...extended],
    identities: uris.flatMap((uri) => parseIdentityUri(uri) ?? []),
    unknownCritical: (tbs.extensions ?? [])
      .filter(({ extnID, critical }) => critical && !UNDERSTOOD.has(extnID))
      .map(({ extnID }) => extnID),
    subjectKeyId: keyId(extension(SUBJECT_KEY_ID, SubjectKeyIdentifier)?.buffer),
    authorityKeyId: keyId(
      extension(AUTHORITY_KEY_ID, AuthorityKeyIdentifier)?.keyIdentifier?.buffer,
    ),
    publicKey: checkPublicKey(native.publicKey, what),
    isSignedBy: (issuer) => isStrong && verifies(native, issuer.publicKey),
  }
}

/** All certificates of a PEM file, or of a file that is one in DER. Throws ERR_SI_CERTIFICATE. */
export function parseCertificates(file: Uint8Array, what: string): readonly Certificate[] {
  return parsePemOrDer(file, 'CERTIFICATE')
    .filter(({ label }) => label === 'CERTIFICATE' || label === 'X509 CERTIFICATE')
    .map(({ bytes }) => parseCertificate(bytes, what))
}

/** SHA-256 of the certificate as people compare it: `AB:CD:…`. */
export function fingerprintOf(certificate: Certificate): string {
  return new X509Certificate(certificate.bytes).fingerprint256
}

/** Throws ERR_SI_CERTIFICATE for keys that are too weak to vouch for anything. */
export function checkPublicKey(key: KeyObject, what: string): KeyObject {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const isGood =
    type === 'ed25519' ||
    (type === 'ec' && CURVES.has(details?.namedCurve ?? '')) ||
    (type === 'rsa' && (details?.modulusLength ?? 0) >= RSA_MINIMUM_BITS)
  if (isGood) return key
  throw certificateError(
    what,
    `its key (${type ?? 'unknown'}) is not of a kind that is accepted`,
    'Use P-256, P-384, P-521, Ed25519, or RSA with 2048 bits or more',
  )
}

function parseNative(bytes: Uint8Array, what: string) {
  try {
    const native = new X509Certificate(bytes)
    const { subject = '', issuer = '', publicKey } = native // reads what can throw
    return { subject, issuer, publicKey, verify: (key: KeyObject) => native.verify(key) }
  } catch (error) {
    throw certificateError(what, `it is damaged (${messageOf(error)})`)
  }
}

function verifies(native: ReturnType<typeof parseNative>, key: KeyObject): boolean {
  try {
    return native.verify(key)
  } catch {
    return false // a key of another kind than the signature's
  }
}

function checkDate(date: Date, what: string): Date {
  if (!Number.isNaN(date.getTime())) return date
  throw certificateError(what, 'a date in it is damaged')
}

function keyId(buffer: ArrayBuffer | undefined): string | undefined {
  return buffer === undefined ? undefined : Buffer.from(buffer).toString('hex')
}

/** What strangers wrote goes to a terminal: without control characters, and not without end. */
function oneLine(name: string): string {
  return name
    .replaceAll('\n', ', ')
    .replace(/[\x00-\x1f\x7f-\x9f]/g, '?')
    .slice(0, 200)
}
