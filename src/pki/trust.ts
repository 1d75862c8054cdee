// Whom this machine believes, and whether it believes the signature of an image: chain, role, dates,
// revocation. Invariant: no trust on first use; without an authority only an explicit word of the
// administrator lets anything through, and a signature that does not hold lets nothing through.
import { open } from 'node:fs/promises'
import { messageOf, SiError, systemClock, type Clock } from '../core/core.ts'
import { checkPath, untrusted } from './certificate-path.ts'
import { parseCertificates, type Certificate } from './certificate.ts'
import { parseCrls, type Crl } from './crl.ts'
import { CODE_SIGNING } from './identity.ts'
import { certificateError } from './pem.ts'
import { type DigestAlgorithm } from './signature-algorithms.ts'
import { parseSignature, type DetachedSignature } from './signature.ts'

export interface Trust {
  readonly anchors: readonly Certificate[]
  readonly crls: readonly Crl[]
  /** The administrator said that images need no signature. */
  readonly allowUnsigned: boolean
}

export interface TrustSources {
  /** PEM files with certificates of authorities, and CRLs. */
  readonly trustFiles: readonly string[]
  readonly crlFiles: readonly string[]
  readonly allowUnsigned: boolean
}

export interface SignedContent {
  /** `image web`: what messages call it. */
  readonly what: string
  /** undefined: it has none. */
  readonly signature: Uint8Array | undefined
  readonly digest: (algorithm: DigestAlgorithm) => Promise<Uint8Array>
}

export interface Verdict {
  /** Name of the signer; null when nobody vouches for the content. */
  readonly signer: string | null
  /** What the administrator should know, in sentences. */
  readonly notes: readonly string[]
}

/** What can be said of a signature where nothing is to be refused. */
export interface SignatureFacts {
  /**
   * `unverified`: it fits the content, but nobody said whom to believe, so the signer's name is a mere claim;
   * `invalid`: `fault` says why.
   */
  readonly state: 'none' | 'valid' | 'unverified' | 'invalid'
  /** Name in the signer's certificate; null where there is none that can be read. */
  readonly signer: string | null
  readonly fault: string | null
}

/** CRLs of large companies have some megabytes. */
const FILE_MAX_BYTES = 64 * 2 ** 20
const EMAIL_PROTECTION = '1.3.6.1.5.5.7.3.4'
const ANY_USAGE = '2.5.29.37.0'
const SIGNING_USAGES = new Set([CODE_SIGNING, EMAIL_PROTECTION, ANY_USAGE])

/** Throws ERR_SI_CERTIFICATE. */
export async function loadTrust(sources: TrustSources): Promise<Trust> {
  const anchors: Certificate[] = []
  const crls: Crl[] = []
  for (const path of sources.trustFiles) {
    const file = await readTrustFile(path)
    const found = parseCertificates(file, path)
    const leaf = found.find(({ isAuthority }) => !isAuthority)
    if (leaf !== undefined) {
      const reason = `${leaf.subject} in it is no authority`
      throw certificateError(path, reason, 'Give the certificate of its authority instead')
    }
    if (found.length === 0) throw certificateError(path, 'it holds no certificate')
    anchors.push(...found)
    if (file[0] !== DER_SEQUENCE) crls.push(...parseCrls(file, path))
  }
  for (const path of sources.crlFiles) {
    const found = parseCrls(await readTrustFile(path), path)
    if (found.length === 0) throw certificateError(path, 'it holds no CRL')
    crls.push(...found)
  }
  return { anchors, crls, allowUnsigned: sources.allowUnsigned }
}

const DER_SEQUENCE = 0x30

/** Throws ERR_SI_UNTRUSTED unless the content may be used. */
export async function checkSigned(
  trust: Trust,
  content: SignedContent,
  clock: Clock = systemClock,
): Promise<Verdict> {
  const { what, signature: bytes } = content
  if (bytes === undefined) return judgeUnsigned(trust, what)
  try {
    const signature = readSignature(bytes)
    if (trust.anchors.length === 0) return judgeUnknown(trust, signature)
    const notes = checkSigner(trust, signature, clock)
    await checkFit(signature, content)
    return { signer: signerName(signature.signer), notes }
  } catch (error) {
    if (!(error instanceof SiError) || error.code !== 'ERR_SI_UNTRUSTED') throw error
    const message = `Cannot trust ${what}: ${error.message}`
    throw new SiError('ERR_SI_UNTRUSTED', message, { hint: error.hint, cause: error })
  }
}

/** As checkSigned, for lists: a signature that does not hold is a result. */
export async function describeSignature(
  trust: Trust,
  content: SignedContent,
  clock: Clock = systemClock,
): Promise<SignatureFacts> {
  if (content.signature === undefined) return { state: 'none', signer: null, fault: null }
  let signer: string | null = null
  try {
    const signature = readSignature(content.signature)
    signer = signerName(signature.signer)
    await checkFit(signature, content)
    if (trust.anchors.length === 0) return { state: 'unverified', signer, fault: null }
    checkSigner(trust, signature, clock)
    return { state: 'valid', signer, fault: null }
  } catch (error) {
    if (!(error instanceof SiError) || error.code !== 'ERR_SI_UNTRUSTED') throw error
    return { state: 'invalid', signer, fault: error.message }
  }
}

/** Why a certificate may not sign images, or undefined. */
export function signerFault(certificate: Certificate): string | undefined {
  const { identities, keyUsages, extendedKeyUsages } = certificate
  if (!identities.some(({ role }) => role === 'signer')) {
    const roles = identities.map(({ role }) => role).join(', ') || 'none'
    return `it does not have the role signer (swarmimager://signer/NAME); its role: ${roles}`
  }
  const mayBind = keyUsages?.some((use) => use === 'digitalSignature' || use === 'nonRepudiation')
  const maySign = extendedKeyUsages?.some((usage) => SIGNING_USAGES.has(usage))
  return mayBind === false || maySign === false ? 'its key usage does not allow signing' : undefined
}

function judgeUnsigned({ allowUnsigned }: Trust, what: string): Verdict {
  if (allowUnsigned)
    return { signer: null, notes: [`${what} is not signed: nobody vouches for it`] }
  throw new SiError('ERR_SI_UNTRUSTED', `Cannot trust ${what}: it is not signed`, {
    hint: 'Have it signed (si-server init, then si-getimage), or add --allow-unsigned to use it all the same',
  })
}

/** It is signed, and nobody said whom to believe. */
function judgeUnknown({ allowUnsigned }: Trust, signature: DetachedSignature): Verdict {
  const { signer } = signature
  if (allowUnsigned) {
    return {
      signer: null,
      notes: ['the signature was not checked: no --trust says whom to believe'],
    }
  }
  throw untrusted(
    `it is signed by ${signerName(signer)}, certified by ${signer.issuer}, and no authority is trusted here yet`,
    "Copy the image server's ca.pem to this machine by a way that you trust and add --trust ca.pem, or add --allow-unsigned to go without",
  )
}

function readSignature(bytes: Uint8Array): DetachedSignature {
  try {
    return parseSignature(bytes)
  } catch (error) {
    if (!(error instanceof SiError)) throw error
    throw untrusted(error.message.replace(/^Cannot use/, 'cannot read its'))
  }
}

async function checkFit(signature: DetachedSignature, { digest }: SignedContent): Promise<void> {
  if (signature.verify(await digest(signature.digestAlgorithm))) return
  throw untrusted('the signature does not fit the manifest: one of them was changed')
}

function checkSigner(trust: Trust, signature: DetachedSignature, clock: Clock): readonly string[] {
  const { signer, certificates } = signature
  const { anchors, crls } = trust
  const fault = signerFault(signer)
  const options = { anchors, others: certificates, crls, now: clock.now() }
  const { isRevocationChecked } = checkPath(signer, options)
  if (fault !== undefined)
    throw untrusted(`certificate ${signer.subject} may not sign it: ${fault}`)
  if (crls.length === 0 || isRevocationChecked) return []
  return [`revocation was not checked fully: no CRL by ${signer.issuer}, or by one above it`]
}

function signerName({ identities, subject }: Certificate): string {
  return identities.find(({ role }) => role === 'signer')?.name ?? subject
}

async function readTrustFile(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r')
    if ((await file.stat()).size > FILE_MAX_BYTES) throw new Error('it is too large')
    return await file.readFile()
  } catch (error) {
    throw new SiError('ERR_SI_CERTIFICATE', `Cannot read ${path}: ${messageOf(error)}`, {
      hint: 'Check --trust and --crl (SI_TRUST, SI_CRL)',
    })
  }
}
