// Detached signatures: CMS SignedData over a digest, with signed attributes (RFC 5652, RFC 5754; RFC 8419
// for Ed25519), DER. Invariant: what parseSignature returns says nothing about trust before verify() and
// the signer's chain were checked. Spec: image/FORMAT.md §8.
import { sign as signBytes, verify as verifyBytes, type KeyObject } from 'node:crypto'
import {
  Attribute,
  CertificateChoices,
  CertificateSet,
  CMSVersion,
  ContentInfo,
  DigestAlgorithmIdentifier,
  DigestAlgorithmIdentifiers,
  EncapsulatedContentInfo,
  IssuerAndSerialNumber,
  SignatureAlgorithmIdentifier,
  SignedData,
  SignerIdentifier,
  SignerInfo,
  SignerInfos,
} from '@peculiar/asn1-cms'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import { Certificate as AsnCertificate } from '@peculiar/asn1-x509'
import { SiError } from '../core/core.ts'
import { guardAsn, hexOf, parseAsn, serialText, toArrayBuffer } from './asn1.ts'
import { parseCertificate, type Certificate } from './certificate.ts'
import {
  derBitString,
  derObjectIdentifier,
  derOctetString,
  derSequence,
  encodeDer,
  isDer,
} from './der.ts'
import { certificateError } from './pem.ts'
import {
  ECDSA_SHA256,
  ED25519,
  SIGNATURE_ALGORITHMS,
  type DigestAlgorithm,
} from './signature-algorithms.ts'

/** A chain of RSA certificates takes 8 KiB; this bounds what a stranger can make us parse. */
export const SIGNATURE_MAX_BYTES = 64 * 1024
const MOST_CERTIFICATES = 16

/** Of SignedData and SignerInfo, for signers named by issuer and by key (RFC 5652 §5.1, §5.3). */
const VERSIONS: ReadonlySet<string> = new Set(['1 1', '3 3'])

const SIGNED_DATA = '1.2.840.113549.1.7.2'
const DATA = '1.2.840.113549.1.7.1'
const CONTENT_TYPE = '1.2.840.113549.1.9.3'
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4'
const SIGNING_TIME = '1.2.840.113549.1.9.5'
const RSA = '1.2.840.113549.1.1.1'

const DIGESTS: Readonly<Record<string, DigestAlgorithm>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}
/** In a CMS signature plain RSA means: with the hash of the digest (RFC 5754 §3.2). */
const SIGNATURES: typeof SIGNATURE_ALGORITHMS = new Map([
  ...SIGNATURE_ALGORITHMS,
  [RSA, { keyType: 'rsa', hash: null }],
])

const SET = 0x31
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18

export interface DetachedSignature {
  readonly digestAlgorithm: DigestAlgorithm
  readonly signer: Certificate
  /** All that came with it, the signer's included, in no order that means anything. */
  readonly certificates: readonly Certificate[]
  /** True when the signer signed content of this digest. */
  verify(digest: Uint8Array): boolean
}

const WHAT = 'signature'

/** Parses DER. Throws ERR_SI_CERTIFICATE for whatever is no detached signature by one signer. */
export function parseSignature(bytes: Uint8Array): DetachedSignature {
  return guardAsn(WHAT, () => readSignature(bytes))
}

function readSignature(bytes: Uint8Array): DetachedSignature {
  if (bytes.length > SIGNATURE_MAX_BYTES) throw certificateError(WHAT, 'it is too large')
  if (!isDer(bytes)) throw certificateError(WHAT, 'it is no DER, or damaged')
  const { contentType, content } = parseAsn(bytes, ContentInfo, WHAT)
  if (contentType !== SIGNED_DATA) throw certificateError(WHAT, 'it is no CMS signature')
  const data = parseAsn(new Uint8Array(content), SignedData, WHAT)
  const [info, ...others] = data.signerInfos
  if (info === undefined || others.length > 0) {
    throw certificateError(WHAT, 'it does not have exactly one signer')
  }
  if (data.encapContentInfo.eContent !== undefined || data.encapContentInfo.eContentType !== DATA) {
    throw certificateError(WHAT, 'it is not detached')
  }
  const certificates = readCertificates(data)
  const signer = certificates.find((certificate) => isNamed(info, certificate))
  if (signer === undefined) throw certificateError(WHAT, "the signer's certificate is missing")
  const digestAlgorithm = DIGESTS[info.digestAlgorithm.algorithm]
  const { keyType, hash } = SIGNATURES.get(info.signatureAlgorithm.algorithm) ?? {}
  const digests = data.digestAlgorithms.map((item) => item.algorithm)
  const isOfOneMind =
    digests.join() === info.digestAlgorithm.algorithm &&
    VERSIONS.has(`${data.version} ${info.version}`)
  if (!isOfOneMind) throw certificateError(WHAT, 'its parts contradict each other')
  if (digestAlgorithm === undefined || keyType !== signer.publicKey.asymmetricKeyType) {
    throw certificateError(WHAT, 'its algorithms are not accepted')
  }
  const expected = readDigest(info)
  const signed = signedBytes(info.signedAttrs ?? [])
  return {
    ...{ digestAlgorithm, signer, certificates },
    verify: (digest) => {
      const algorithm = keyType === 'ed25519' ? null : (hash ?? digestAlgorithm)
      const value = Buffer.from(info.signature.buffer)
      const isSigned = () => verifyBytes(algorithm, signed, signer.publicKey, value)
      return expected.equals(digest) && guardAsn(WHAT, isSigned)
    },
  }
}

/** The digest that a signature by this key is made over. */
export function digestAlgorithmFor(key: KeyObject): DigestAlgorithm {
  return key.asymmetricKeyType === 'ed25519' ? 'sha512' : 'sha256' // RFC 8419 §3.1
}

export interface SigningOptions {
  readonly key: KeyObject
  /** The signer's certificate, then those between it and the root. */
  readonly certificates: readonly [Certificate, ...Certificate[]]
  /** Of the content, by digestAlgorithmFor(key). */
  readonly digest: Uint8Array
  readonly now: Date
}

/** A detached signature, DER. */
export function makeSignature({ key, certificates, digest, now }: SigningOptions): Buffer {
  const { serial, issuer } = asnNames(certificates[0])
  const attributes = [
    attribute(CONTENT_TYPE, derObjectIdentifier(DATA)),
    attribute(SIGNING_TIME, derTime(now)),
    attribute(MESSAGE_DIGEST, derOctetString(digest)),
  ]
  const signed = signedBytes(attributes)
  const digestAlgorithm = digestAlgorithmFor(key)
  const digestId = Object.keys(DIGESTS).find((id) => DIGESTS[id] === digestAlgorithm) ?? ''
  const hash = key.asymmetricKeyType === 'ed25519' ? null : digestAlgorithm
  const data = new SignedData({
    version: CMSVersion.v1,
    digestAlgorithms: new DigestAlgorithmIdentifiers([
      algorithm(DigestAlgorithmIdentifier, digestId),
    ]),
    encapContentInfo: new EncapsulatedContentInfo({ eContentType: DATA }),
    certificates: new CertificateSet(
      certificates.map(({ bytes }) => {
        const certificate = AsnConvert.parse(toArrayBuffer(bytes), AsnCertificate)
        return new CertificateChoices({ certificate })
      }),
    ),
    signerInfos: new SignerInfos([
      new SignerInfo({
        version: CMSVersion.v1,
        sid: new SignerIdentifier({
          issuerAndSerialNumber: new IssuerAndSerialNumber({ issuer, serialNumber: serial }),
        }),
        digestAlgorithm: algorithm(DigestAlgorithmIdentifier, digestId),
        signedAttrs: sortAttributes(attributes),
        signatureAlgorithm: algorithm(SignatureAlgorithmIdentifier, signatureId(key)),
        signature: new OctetString(toArrayBuffer(signBytes(hash, signed, key))),
      }),
    ]),
  })
  const content = AsnConvert.serialize(data)
  return Buffer.from(AsnConvert.serialize(new ContentInfo({ contentType: SIGNED_DATA, content })))
}

function readCertificates(data: SignedData): readonly Certificate[] {
  const choices = [...(data.certificates ?? [])]
  if (choices.length > MOST_CERTIFICATES)
    throw certificateError(WHAT, 'it has too many certificates')
  return choices.flatMap(({ certificate }) =>
    certificate === undefined ? [] : [parseCertificate(originalBytes(certificate), WHAT)],
  )
}

/** The certificate as it was signed: encoding what was parsed anew might not give the same bytes. */
function originalBytes(certificate: AsnCertificate): Uint8Array {
  const { tbsCertificateRaw, signatureAlgorithm, signatureValue } = certificate
  if (tbsCertificateRaw === undefined) throw certificateError(WHAT, 'a certificate is damaged')
  return derSequence(
    new Uint8Array(tbsCertificateRaw),
    new Uint8Array(AsnConvert.serialize(signatureAlgorithm)),
    derBitString(new Uint8Array(signatureValue)),
  )
}

function isNamed({ sid }: SignerInfo, certificate: Certificate): boolean {
  const { issuerAndSerialNumber: named, subjectKeyIdentifier } = sid
  if (named !== undefined) {
    const isSame = serialText(named.serialNumber) === certificate.serial
    return isSame && hexOf(named.issuer) === certificate.issuerKey
  }
  if (subjectKeyIdentifier === undefined) return false
  return Buffer.from(subjectKeyIdentifier.buffer).toString('hex') === certificate.subjectKeyId
}

/** The content's digest that the signer vouches for. */
function readDigest({ signedAttrs = [] }: SignerInfo): Buffer {
  const only = (type: string) => {
    const [found, ...others] = signedAttrs.filter(({ attrType }) => attrType === type)
    const [value, ...more] = found?.attrValues ?? []
    if (value === undefined || others.length + more.length > 0) {
      throw certificateError(WHAT, `it lacks the signed attribute ${type}, or has it twice`)
    }
    return value
  }
  if (!derObjectIdentifier(DATA).equals(new Uint8Array(only(CONTENT_TYPE)))) {
    throw certificateError(WHAT, 'it is over another kind of content')
  }
  return Buffer.from(parseAsn(new Uint8Array(only(MESSAGE_DIGEST)), OctetString, WHAT).buffer)
}

/** What is signed: the DER encoding as a SET, not as the [0] that it is sent as (RFC 5652 §5.4). */
function signedBytes(attributes: readonly Attribute[]): Buffer {
  if (attributes.length === 0) throw certificateError(WHAT, 'it has no signed attributes')
  return encodeDer(SET, ...sortAttributes(attributes).map(encodeAttribute))
}

function encodeAttribute(item: Attribute): Buffer {
  return Buffer.from(AsnConvert.serialize(item))
}

function attribute(type: string, value: Uint8Array): Attribute {
  return new Attribute({ attrType: type, attrValues: [toArrayBuffer(value)] })
}

/** DER sorts what a SET OF holds. */
function sortAttributes(attributes: readonly Attribute[]): Attribute[] {
  return attributes.toSorted((a, b) => Buffer.compare(encodeAttribute(a), encodeAttribute(b)))
}

function algorithm<T extends { algorithm: string }>(type: new () => T, id: string): T {
  return Object.assign(new type(), { algorithm: id })
}

function signatureId(key: KeyObject): string {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return ECDSA_SHA256
    case 'rsa':
      return RSA
    case 'ed25519':
      return ED25519
    default:
      throw new SiError(
        'ERR_SI_INTERNAL',
        `Cannot sign with ${key.asymmetricKeyType ?? 'this key'}`,
      )
  }
}

/** RFC 5652 §11.3: UTCTime until 2049. */
function derTime(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return date.getUTCFullYear() < 2050
    ? encodeDer(UTC_TIME, Buffer.from(text.slice(2)))
    : encodeDer(GENERALIZED_TIME, Buffer.from(text))
}

function asnNames({ bytes }: Certificate) {
  const { tbsCertificate } = AsnConvert.parse(toArrayBuffer(bytes), AsnCertificate)
  return { serial: tbsCertificate.serialNumber, issuer: tbsCertificate.issuer }
}
