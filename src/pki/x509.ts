// Making certificates and CRLs with @peculiar/x509 on WebCrypto. Pure but for the keys it is given.
import 'reflect-metadata' // @peculiar/x509 looks for it when it is loaded
import { createPublicKey, randomBytes, type KeyObject, type webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
  X509CrlReason,
  type JsonGeneralNames,
} from '@peculiar/x509'
import { messageOf, SiError } from '../core/core.ts'
import { toArrayBuffer } from './asn1.ts'
import type { IssuedRecord } from './authority-index.ts'
import { checkPublicKey, type Certificate } from './certificate.ts'
import { derInteger } from './der.ts'
import { formatIdentityUri, ROLE_PROFILES, type Identity } from './identity.ts'
import { certificateError, parsePemOrDer } from './pem.ts'

export interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

const CRL_NUMBER = '2.5.29.20'
const REQUEST_MAX_BYTES = 64 * 1024

/** A certificate of the key for itself, allowed to issue others. DER. */
export async function makeAuthorityCertificate(
  name: string,
  privateKey: KeyObject,
  validity: Validity,
): Promise<Uint8Array> {
  const { publicKey, signingKey, signingAlgorithm } = await toCryptoKeys(privateKey)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: commonName(name),
    ...validity,
    keys: { publicKey, privateKey: signingKey },
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  })
  return new Uint8Array(certificate.rawData)
}

export interface LeafOptions extends Validity {
  readonly identity: Identity
  readonly dnsNames: readonly string[]
  readonly addresses: readonly string[]
  readonly publicKey: KeyObject
  readonly issuer: Certificate
  readonly issuerKey: KeyObject
}

/** DER. */
export async function makeLeafCertificate(options: LeafOptions): Promise<Uint8Array> {
  const { identity, issuer, notBefore, notAfter } = options
  const { signingKey, signingAlgorithm } = await toCryptoKeys(options.issuerKey)
  const publicKey = await toCryptoKey(options.publicKey, ['verify'])
  const names: JsonGeneralNames = [
    { type: 'url', value: formatIdentityUri(identity) },
    ...options.dnsNames.map((value) => ({ type: 'dns', value }) as const),
    ...options.addresses.map((value) => ({ type: 'ip', value }) as const),
  ]
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: commonName(identity.name),
    issuer: issuerName(issuer),
    ...{ notBefore, notAfter, publicKey, signingKey, signingAlgorithm },
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...ROLE_PROFILES[identity.role].extendedKeyUsages]),
      new SubjectAlternativeNameExtension(names),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await authorityKeyId(issuer),
    ],
  })
  return new Uint8Array(certificate.rawData)
}

export interface CrlOptions {
  readonly issuer: Certificate
  readonly issuerKey: KeyObject
  readonly number: number
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly revoked: readonly IssuedRecord[]
}

/** DER. */
export async function makeCrl(options: CrlOptions): Promise<Uint8Array> {
  const { issuer, thisUpdate, nextUpdate } = options
  const { signingKey, signingAlgorithm } = await toCryptoKeys(options.issuerKey)
  const crl = await X509CrlGenerator.create({
    issuer: issuerName(issuer),
    ...{ thisUpdate, nextUpdate, signingKey, signingAlgorithm },
    extensions: [
      await authorityKeyId(issuer),
      new Extension(CRL_NUMBER, false, derInteger(options.number)),
    ],
    entries: options.revoked.map(({ serial, revokedAt, reason }) => ({
      serialNumber: serial,
      revocationDate: new Date(revokedAt ?? thisUpdate),
      ...(reason === null || reason === 'unspecified' ? {} : { reason: X509CrlReason[reason] }),
    })),
  })
  return new Uint8Array(crl.rawData)
}

/** A request for this key to be certified; what it is to be for is for the authority to say. DER. */
export async function makeCertificateRequest(privateKey: KeyObject): Promise<Uint8Array> {
  const { publicKey, signingKey, signingAlgorithm } = await toCryptoKeys(privateKey)
  const keys = { publicKey, privateKey: signingKey }
  const request = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm })
  return new Uint8Array(request.rawData)
}

/**
 * The key of a certificate request in PEM or DER, after a check that whoever made the request has it.
 * Nothing else in the request counts. Throws ERR_SI_CERTIFICATE.
 */
export async function readRequestKey(file: Uint8Array, what: string): Promise<KeyObject> {
  const block = parsePemOrDer(file, 'CERTIFICATE REQUEST').find(({ label }) =>
    /^(NEW )?CERTIFICATE REQUEST$/.test(label),
  )
  if (block === undefined || block.bytes.length > REQUEST_MAX_BYTES) {
    throw certificateError(what, 'it holds no certificate request', 'Make one with openssl req')
  }
  let key: KeyObject
  let isProven: boolean
  try {
    const request = new Pkcs10CertificateRequest(toArrayBuffer(block.bytes))
    const der = Buffer.from(request.publicKey.rawData)
    key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    isProven = await request.verify()
  } catch (error) {
    throw certificateError(what, `it is damaged (${messageOf(error)})`)
  }
  if (!isProven) throw certificateError(what, 'its signature does not match its key')
  return checkPublicKey(key, what)
}

interface CryptoKeys {
  readonly publicKey: webcrypto.CryptoKey
  readonly signingKey: webcrypto.CryptoKey
  readonly signingAlgorithm: Algorithm | EcdsaParams
}

type Algorithm = { readonly name: string }
type EcdsaParams = { readonly name: string; readonly hash: string }

async function toCryptoKeys(privateKey: KeyObject): Promise<CryptoKeys> {
  const publicKey = await toCryptoKey(createPublicKey(privateKey), ['verify'])
  const signingKey = await toCryptoKey(privateKey, ['sign'])
  return { publicKey, signingKey, signingAlgorithm: algorithmOf(privateKey) }
}

function toCryptoKey(key: KeyObject, usages: ('sign' | 'verify')[]): Promise<webcrypto.CryptoKey> {
  return Promise.resolve(key.toCryptoKey(algorithmOf(key), true, usages))
}

function algorithmOf(key: KeyObject): Algorithm & { namedCurve?: string; hash?: string } {
  const curve = key.asymmetricKeyDetails?.namedCurve
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return { name: 'Ed25519' }
    case 'rsa':
      return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    case 'ec':
      if (curve === 'secp384r1') return { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }
      if (curve === 'secp521r1') return { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' }
      return { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
    default:
      throw new SiError('ERR_SI_INTERNAL', `No signature with ${key.asymmetricKeyType ?? 'it'}`)
  }
}

/** The issuer's name as it stands in its certificate, byte for byte: chains are found by it. */
function issuerName(issuer: Certificate): Name {
  return new Name(toArrayBuffer(Buffer.from(issuer.subjectKey, 'hex')))
}

function commonName(name: string): string {
  return new Name([{ CN: [name] }]).toString()
}

async function authorityKeyId(issuer: Certificate): Promise<AuthorityKeyIdentifierExtension> {
  if (issuer.subjectKeyId !== undefined) {
    return new AuthorityKeyIdentifierExtension(issuer.subjectKeyId)
  }
  return AuthorityKeyIdentifierExtension.create(await toCryptoKey(issuer.publicKey, ['verify']))
}

/** 127 random bits: not guessable, as a hedge against chosen-prefix collisions; positive as DER. */
function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}
