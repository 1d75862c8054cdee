// Private keys at rest: PKCS #8 in PEM, encrypted when there is a passphrase (RFC 5958, RFC 8018).
// Invariant: a key that others on this machine can read is refused, not used with a warning.
import {
  createCipheriv,
  createPrivateKey,
  generateKeyPairSync,
  pbkdf2Sync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { open } from 'node:fs/promises'
import { messageOf, SiError } from '../core/core.ts'
import { checkPublicKey } from './certificate.ts'
import { derInteger, derObjectIdentifier, derOctetString, derSequence, encodeDer } from './der.ts'
import { certificateError, encodePem } from './pem.ts'

export const KEY_TYPES = ['p256', 'ed25519'] as const

export type KeyType = (typeof KEY_TYPES)[number]

/** Mode of every file that holds a private key. */
export const KEY_MODE = 0o600

const FILE_MAX_BYTES = 64 * 1024
const OTHERS_MASK = 0o077

/** What OWASP asks of PBKDF2 with SHA-256; openssl's own default of 2048 is of another time. */
const PBKDF2_ITERATIONS = 600_000
const PBES2 = '1.2.840.113549.1.5.13'
const PBKDF2 = '1.2.840.113549.1.5.12'
const HMAC_SHA256 = '1.2.840.113549.2.9'
const AES_256_CBC = '2.16.840.1.101.3.4.1.42'

export function generatePrivateKey(type: KeyType): KeyObject {
  switch (type) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey
    default:
      return type satisfies never
  }
}

/** PKCS #8 in PEM, encrypted with the passphrase when there is one. */
export function encodePrivateKey(key: KeyObject, passphrase: string | undefined): string {
  const plain = key.export({ type: 'pkcs8', format: 'der' })
  if (passphrase === undefined) return encodePem('PRIVATE KEY', plain)
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const derived = pbkdf2Sync(passphrase, salt, PBKDF2_ITERATIONS, 32, 'sha256')
  const cipher = createCipheriv('aes-256-cbc', derived, iv)
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()])
  const derivation = derSequence(
    derObjectIdentifier(PBKDF2),
    derSequence(
      derOctetString(salt),
      derInteger(PBKDF2_ITERATIONS),
      derSequence(derObjectIdentifier(HMAC_SHA256), encodeDer(0x05)),
    ),
  )
  const encryption = derSequence(derObjectIdentifier(AES_256_CBC), derOctetString(iv))
  const algorithm = derSequence(derObjectIdentifier(PBES2), derSequence(derivation, encryption))
  return encodePem('ENCRYPTED PRIVATE KEY', derSequence(algorithm, derOctetString(encrypted)))
}

/**
 * Reads a key in PEM. Throws ERR_SI_KEY_EXPOSED when its file is open to others, ERR_SI_CERTIFICATE when
 * it is no key of an accepted kind or the passphrase does not fit.
 */
export async function readPrivateKey(
  path: string,
  passphrase: string | undefined,
): Promise<KeyObject> {
  const what = `private key ${path}`
  const pem = await readSecret(path, what)
  const isEncrypted = /BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(pem)
  if (isEncrypted && passphrase === undefined) {
    const hint = 'Give the passphrase with --passphrase-file FILE'
    throw certificateError(what, 'it is encrypted', hint)
  }
  let key: KeyObject
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(isEncrypted ? { passphrase } : {}) })
  } catch (error) {
    if (isEncrypted) throw certificateError(what, 'the passphrase does not open it')
    throw certificateError(what, `it is no private key in PEM (${messageOf(error)})`)
  }
  return checkPublicKey(key, what)
}

/** The first line of the file. Throws ERR_SI_KEY_EXPOSED, ERR_SI_USAGE when it is empty. */
export async function readPassphrase(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  const [passphrase = ''] = (await readSecret(path, `passphrase file ${path}`)).split(/\r?\n/)
  if (passphrase !== '') return passphrase
  throw new SiError('ERR_SI_USAGE', `The passphrase file ${path} is empty`)
}

async function readSecret(path: string, what: string): Promise<string> {
  let file
  try {
    file = await open(path, 'r')
  } catch (error) {
    throw certificateError(what, messageOf(error))
  }
  await using handle = file
  const info = await handle.stat()
  const mode = info.mode & 0o777
  if (info.isFile() && (mode & OTHERS_MASK) !== 0) {
    const message = `Cannot use ${what}: its mode ${mode.toString(8)} lets others read or change it`
    throw new SiError('ERR_SI_KEY_EXPOSED', message, {
      hint: `Run chmod 600 ${path}, and replace what it holds if somebody may have read it`,
    })
  }
  if (info.size > FILE_MAX_BYTES) throw certificateError(what, 'it is too large')
  return await handle.readFile('utf8')
}
