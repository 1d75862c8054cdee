// Who signs images: a certificate of the role signer, with its key. Invariant: a signer that those who
// deploy would refuse is refused here, before anything is captured.
import { createHash, createPublicKey } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { messageOf, SiError, systemClock } from '../core/core.ts'
import { parseCertificates, type Certificate } from './certificate.ts'
import { certificateError } from './pem.ts'
import { readPassphrase, readPrivateKey } from './private-key.ts'
import { type DigestAlgorithm } from './signature-algorithms.ts'
import { digestAlgorithmFor, makeSignature } from './signature.ts'
import { signerFault } from './trust.ts'

export interface Signer {
  /** For people: its name, from the certificate. */
  readonly name: string
  /** A detached signature of the file's content, DER. */
  sign(path: string): Promise<Buffer>
  /** Likewise of bytes. */
  signBytes(bytes: Uint8Array): Buffer
}

export interface SignerFiles {
  /** PEM: the signer's certificate, then those between it and the root. */
  readonly certificateFile: string
  readonly keyFile: string
  readonly passphraseFile?: string | undefined
}

/** Throws ERR_SI_CERTIFICATE, ERR_SI_KEY_EXPOSED. */
export async function loadSigner(files: SignerFiles, clock = systemClock): Promise<Signer> {
  const { certificateFile, keyFile, passphraseFile } = files
  const key = await readPrivateKey(keyFile, await readPassphrase(passphraseFile))
  const [own, ...others] = parseCertificates(await readPem(certificateFile), certificateFile)
  const fault =
    own === undefined
      ? 'it holds no certificate'
      : !own.publicKey.equals(createPublicKey(key))
        ? `its first certificate does not belong to the key ${keyFile}`
        : (signerFault(own) ?? expiryFault(own, clock.now()))
  if (own === undefined || fault !== undefined) {
    throw certificateError(
      certificateFile,
      fault ?? '',
      'Have a certificate issued: si-ca issue --role signer',
    )
  }
  const between = others.filter(({ subjectKey, issuerKey }) => subjectKey !== issuerKey)
  const name = own.identities.find(({ role }) => role === 'signer')?.name ?? own.subject
  const algorithm = digestAlgorithmFor(key)
  const certificates = [own, ...between] as const
  const signDigest = (digest: Buffer) =>
    makeSignature({ key, certificates, digest, now: clock.now() })
  return {
    name,
    sign: async (path) => signDigest(await hashFile(path, algorithm)),
    signBytes: (bytes) => signDigest(createHash(algorithm).update(bytes).digest()),
  }
}

export async function hashFile(path: string, algorithm: DigestAlgorithm): Promise<Buffer> {
  const hash = createHash(algorithm)
  await pipeline(createReadStream(path), hash)
  return hash.digest()
}

async function readPem(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new SiError('ERR_SI_CERTIFICATE', `Cannot read certificate ${path}: ${messageOf(error)}`)
  }
}

function expiryFault({ notBefore, notAfter }: Certificate, now: Date): string | undefined {
  if (now > notAfter) return `it expired on ${notAfter.toISOString()}`
  return now < notBefore ? `it is valid only from ${notBefore.toISOString()}` : undefined
}
