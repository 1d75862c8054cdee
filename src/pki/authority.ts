// An authority in a folder:
//
//     ca.pem          its certificate, then those of the authorities above it, if any
//     ca.key          its private key, mode 0600, encrypted when there is a passphrase
//     index.json      what was issued and revoked (authority-index.ts)
//     crl.pem         the newest CRL
//     issued/SERIAL.pem
//
// Invariant: every change is one rename under a lock that the kernel frees when the writer dies; a
// certificate is in the index before anybody gets it.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { errnoOf, messageOf, SiError, systemClock, type Clock } from '../core/core.ts'
import {
  EMPTY_INDEX,
  encodeIndex,
  parseIndex,
  type AuthorityIndex,
  type IssuedRecord,
  type RevocationReason,
} from './authority-index.ts'
import { ISSUED_FOLDER, whileLocked } from './authority-lock.ts'
import { parseCertificate, parseCertificates, type Certificate } from './certificate.ts'
import { syncFolder, writeDurably } from './durable-file.ts'
import { ROLE_PROFILES, type Identity } from './identity.ts'
import { encodePem } from './pem.ts'
import {
  encodePrivateKey,
  generatePrivateKey,
  KEY_MODE,
  readPassphrase,
  readPrivateKey,
  type KeyType,
} from './private-key.ts'

/** Only those who issue wait for the library to load. */
const issuing = () => import('./x509.ts')

const CERTIFICATE_FILE = 'ca.pem'
const KEY_FILE = 'ca.key'
const INDEX_FILE = 'index.json'
const CRL_FILE = 'crl.pem'

const FOLDER_MODE = 0o700
const PUBLIC_MODE = 0o644
const DAY_MS = 24 * 60 * 60 * 1000
/** Clocks of a cluster differ a little: what was issued just now is valid everywhere. */
const BACKDATE_MS = 5 * 60 * 1000

export interface Authority {
  /** Absolute. */
  readonly directory: string
  readonly certificate: Certificate
  /** The authorities above, nearest first, down from but without the root of another store. */
  readonly issuers: readonly Certificate[]
  list(): Promise<readonly IssuedRecord[]>
  /** Throws what issuing would, when the key cannot be opened with this passphrase. */
  checkKey(passphraseFile: string | undefined): Promise<void>
  /** Throws ERR_SI_AUTHORITY_LOCKED while another process changes the store. */
  issue(request: IssueRequest): Promise<IssuedCertificate>
  /** Revokes what `which` names, a serial number or ROLE/NAME, and publishes a CRL. */
  revoke(which: string, options: RevokeOptions): Promise<readonly IssuedRecord[]>
  /** Publishes a new CRL; returns it in PEM. */
  publishCrl(options: CrlPublication): Promise<string>
}

export interface IssueRequest {
  readonly identity: Identity
  readonly dnsNames: readonly string[]
  readonly addresses: readonly string[]
  /** undefined: that of the role. */
  readonly days: number | undefined
  /** Of the new key, or a request in PEM or DER, whose maker keeps the key. */
  readonly key: { readonly type: KeyType } | { readonly request: Uint8Array }
  readonly passphraseFile: string | undefined
}

export interface IssuedCertificate {
  readonly record: IssuedRecord
  /** The certificate and those between it and the root, PEM. */
  readonly certificatePem: string
  /** undefined when there was a request. */
  readonly keyPem: string | undefined
}

export interface CrlPublication {
  readonly days: number
  readonly passphraseFile: string | undefined
}

export interface RevokeOptions extends CrlPublication {
  readonly reason: RevocationReason
}

export interface NewAuthority {
  readonly directory: string
  readonly days: number
  readonly passphraseFile: string | undefined
  readonly origin:
    | { readonly type: 'new'; readonly name: string; readonly keyType: KeyType }
    | { readonly type: 'existing'; readonly certificateFile: string; readonly keyFile: string }
  readonly clock?: Clock
}

/** CRLs are good for this long unless somebody says otherwise. */
export const CRL_DAYS = 30

/** Makes the folder whole or not at all. Throws ERR_SI_AUTHORITY when it exists. */
export async function createAuthority(options: NewAuthority): Promise<Authority> {
  const { origin, clock = systemClock } = options
  const directory = resolve(options.directory)
  const passphrase = await readPassphrase(options.passphraseFile)
  await mkdir(dirname(directory), { recursive: true })
  const draft = await mkdtemp(join(dirname(directory), `.${basename(directory)}-`))
  try {
    await chmod(draft, FOLDER_MODE)
    const { key, certificates } =
      origin.type === 'new'
        ? await makeOrigin(origin, validityOf(options.days, clock))
        : await readOrigin(origin, passphrase)
    const pem = certificates.map(({ bytes }) => encodePem('CERTIFICATE', bytes)).join('')
    await mkdir(join(draft, ISSUED_FOLDER), FOLDER_MODE)
    await writeDurably(join(draft, CERTIFICATE_FILE), pem, PUBLIC_MODE)
    await writeDurably(join(draft, KEY_FILE), encodePrivateKey(key, passphrase), KEY_MODE)
    await writeDurably(join(draft, INDEX_FILE), encodeIndex(EMPTY_INDEX), PUBLIC_MODE)
    await rename(draft, directory)
    await syncFolder(dirname(directory))
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error
    throw new SiError('ERR_SI_AUTHORITY', `Cannot make an authority in ${directory}: it exists`, {
      hint: 'Choose another folder; an authority is never overwritten',
    })
  }
  const authority = await openAuthority(directory, clock)
  await authority.publishCrl({ days: CRL_DAYS, passphraseFile: options.passphraseFile })
  return authority
}

/** Throws ERR_SI_AUTHORITY when the folder holds none. */
export async function openAuthority(path: string, clock = systemClock): Promise<Authority> {
  const directory = resolve(path)
  const file = await readFile(join(directory, CERTIFICATE_FILE)).catch((error: unknown) => {
    throw new SiError('ERR_SI_AUTHORITY', `No authority in ${directory}: ${messageOf(error)}`, {
      hint: 'Make one with si-ca init, or name its folder with --ca',
    })
  })
  const [certificate, ...issuers] = parseCertificates(file, join(directory, CERTIFICATE_FILE))
  if (certificate === undefined) {
    throw new SiError('ERR_SI_AUTHORITY', `No certificate in ${join(directory, CERTIFICATE_FILE)}`)
  }
  const store: Store = { directory, certificate, issuers, clock }
  return {
    ...{ directory, certificate, issuers },
    list: async () => (await readIndex(directory)).certificates,
    checkKey: async (passphraseFile) => void (await readAuthorityKey(store, passphraseFile)),
    issue: (request) => whileLocked(directory, () => issue(store, request)),
    revoke: (which, options) => whileLocked(directory, () => revoke(store, which, options)),
    publishCrl: (options) => whileLocked(directory, () => publishCrl(store, options)),
  }
}

interface Store {
  readonly directory: string
  readonly certificate: Certificate
  readonly issuers: readonly Certificate[]
  readonly clock: Clock
}

interface Origin {
  readonly key: KeyObject
  readonly certificates: readonly Certificate[]
}

async function makeOrigin(
  { name, keyType }: { readonly name: string; readonly keyType: KeyType },
  validity: { readonly notBefore: Date; readonly notAfter: Date },
): Promise<Origin> {
  const { makeAuthorityCertificate } = await issuing()
  const key = generatePrivateKey(keyType)
  return {
    key,
    certificates: [parseCertificate(await makeAuthorityCertificate(name, key, validity))],
  }
}

async function readOrigin(
  { certificateFile, keyFile }: { readonly certificateFile: string; readonly keyFile: string },
  passphrase: string | undefined,
): Promise<Origin> {
  const key = await readPrivateKey(keyFile, passphrase)
  const certificates = parseCertificates(await readFile(certificateFile), certificateFile)
  const [own] = certificates
  const fault =
    own === undefined
      ? 'it holds no certificate'
      : !own.publicKey.equals(createPublicKey(key))
        ? `its first certificate does not belong to the key ${keyFile}`
        : !own.isAuthority || own.keyUsages?.includes('keyCertSign') === false
          ? 'its first certificate may not issue others'
          : undefined
  if (fault === undefined) return { key, certificates }
  throw new SiError('ERR_SI_CERTIFICATE', `Cannot use ${certificateFile}: ${fault}`)
}

async function issue(store: Store, request: IssueRequest): Promise<IssuedCertificate> {
  const { directory, certificate: issuer, issuers, clock } = store
  const { makeLeafCertificate, readRequestKey } = await issuing()
  const { identity, dnsNames, addresses, key } = request
  const index = await readIndex(directory)
  const newKey = 'type' in key ? generatePrivateKey(key.type) : undefined
  const publicKey =
    'request' in key
      ? await readRequestKey(key.request, 'the certificate request')
      : createPublicKey(newKey ?? '')
  const days = request.days ?? ROLE_PROFILES[identity.role].lifetimeDays
  const validity = validityOf(days, clock)
  if (issuer.notAfter.getTime() <= clock.now().getTime()) throw authorityExpired(issuer)
  const der = await makeLeafCertificate({
    ...{ identity, dnsNames, addresses, publicKey, issuer },
    issuerKey: await readAuthorityKey(store, request.passphraseFile),
    // What outlives its issuer is refused from then on anyway.
    notBefore: new Date(Math.max(validity.notBefore.getTime(), issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(validity.notAfter.getTime(), issuer.notAfter.getTime())),
  })
  const { serial, notBefore, notAfter } = parseCertificate(der)
  const record: IssuedRecord = {
    ...{ serial, role: identity.role, name: identity.name },
    ...{ notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString() },
    ...{ revokedAt: null, reason: null },
  }
  const pem = encodePem('CERTIFICATE', der)
  await writeDurably(join(directory, ISSUED_FOLDER, `${serial}.pem`), pem, PUBLIC_MODE)
  await writeIndex(directory, { ...index, certificates: [...index.certificates, record] })
  const between = [issuer, ...issuers].filter(
    ({ subjectKey, issuerKey }) => subjectKey !== issuerKey,
  )
  const chain = between.map(({ bytes }) => encodePem('CERTIFICATE', bytes)).join('')
  const keyPem = newKey === undefined ? undefined : encodePrivateKey(newKey, undefined)
  return { record, certificatePem: pem + chain, keyPem }
}

async function revoke(
  store: Store,
  which: string,
  options: RevokeOptions,
): Promise<readonly IssuedRecord[]> {
  const { directory, clock } = store
  const key = await readAuthorityKey(store, options.passphraseFile) // refuse before anything changes
  const index = await readIndex(directory)
  const serial = which
    .replaceAll(':', '')
    .toUpperCase()
    .replace(/^0+(?=.)/, '')
  const isMeant = (record: IssuedRecord) =>
    record.serial === serial || `${record.role}/${record.name}` === which
  if (!index.certificates.some(isMeant)) {
    throw new SiError('ERR_SI_AUTHORITY', `No certificate ${which} was issued here`, {
      hint: 'Run si-ca list to see serial numbers, roles and names',
    })
  }
  const revokedAt = clock.now().toISOString()
  const certificates = index.certificates.map((record) =>
    isMeant(record) && record.revokedAt === null
      ? { ...record, revokedAt, reason: options.reason }
      : record,
  )
  await writeIndex(directory, { ...index, certificates })
  // Also when it was revoked before: that run may have died between index and CRL.
  await writeCrl(store, key, options.days)
  return certificates.filter(isMeant)
}

async function publishCrl(store: Store, options: CrlPublication): Promise<string> {
  return writeCrl(store, await readAuthorityKey(store, options.passphraseFile), options.days)
}

async function writeCrl(store: Store, issuerKey: KeyObject, days: number): Promise<string> {
  const { directory, certificate: issuer, clock } = store
  const { makeCrl } = await issuing()
  const index = await readIndex(directory)
  const number = index.crlNumber + 1
  const { notBefore: thisUpdate, notAfter: nextUpdate } = validityOf(days, clock)
  const revoked = index.certificates.filter(({ revokedAt }) => revokedAt !== null)
  const der = await makeCrl({ issuer, issuerKey, number, thisUpdate, nextUpdate, revoked })
  const pem = encodePem('X509 CRL', der)
  await writeIndex(directory, { ...index, crlNumber: number }) // numbers may be left out, not reused
  await writeDurably(join(directory, CRL_FILE), pem, PUBLIC_MODE)
  return pem
}

async function readAuthorityKey(
  { directory, certificate }: Store,
  passphraseFile: string | undefined,
): Promise<KeyObject> {
  const path = join(directory, KEY_FILE)
  const key = await readPrivateKey(path, await readPassphrase(passphraseFile))
  if (createPublicKey(key).equals(certificate.publicKey)) return key
  throw new SiError('ERR_SI_AUTHORITY', `${path} is not the key of ${CERTIFICATE_FILE} beside it`, {
    hint: 'Restore both files from the same backup',
  })
}

function validityOf(days: number, clock: Clock): { notBefore: Date; notAfter: Date } {
  const nowMs = Math.floor(clock.now().getTime() / 1000) * 1000 // certificates know whole seconds
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + days * DAY_MS) }
}

async function readIndex(directory: string): Promise<AuthorityIndex> {
  const path = join(directory, INDEX_FILE)
  return parseIndex(await readFile(path, 'utf8'), path)
}

async function writeIndex(directory: string, index: AuthorityIndex): Promise<void> {
  await writeDurably(join(directory, INDEX_FILE), encodeIndex(index), PUBLIC_MODE)
}

function authorityExpired(issuer: Certificate): SiError {
  const when = issuer.notAfter.toISOString()
  return new SiError(
    'ERR_SI_AUTHORITY',
    `The certificate of ${issuer.subject} expired on ${when}`,
    {
      hint: 'Make a new authority with si-ca init',
    },
  )
}
