// Who this machine is to others over TLS, and whom it lets in: its certificate and key, the authorities it
// believes, what they revoked. Invariant: a renewed file takes effect without a restart, one that cannot be used
// changes nothing, and whoever was let in is looked at again in every round. Spec: RFC 5280, 8446.
import { createPublicKey } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { messageOf, SiError, systemClock, type Clock } from '../core/core.ts'
import { callOptionsOf, materialOf, type CallOptions, type TlsMaterial } from './call-options.ts'
import { checkPath, untrusted } from './certificate-path.ts'
import { parseCertificate, parseCertificates, type Certificate } from './certificate.ts'
import type { Identity, Role } from './identity.ts'
import { certificateError, encodePem } from './pem.ts'
import { readPassphrase, readPrivateKey } from './private-key.ts'
import { loadTrust, type Trust } from './trust.ts'

export interface CredentialFiles {
  /** PEM: this machine's certificate, then those between it and the root. */
  readonly certificateFile: string
  readonly keyFile: string
  readonly passphraseFile: string | undefined
  readonly trustFiles: readonly string[]
  readonly crlFiles: readonly string[]
}

export interface Demand {
  /** One of these the other side must have. */
  readonly roles: readonly Role[]
  /** On which side of the handshake it is. */
  readonly side: 'client' | 'server'
}

export interface Credentials {
  /** The newest. */
  readonly material: TlsMaterial
  /**
   * Judges certificates as the handshake showed them, DER, that of the other side first; that it has the key is
   * for the handshake to prove. Throws ERR_SI_UNTRUSTED.
   */
  check(certificates: readonly Uint8Array[], demand: Demand): Identity
  /** For node:https: calls go to image servers of these authorities, and to nobody else. */
  callOptions(): CallOptions
  /** Called in every round: what was let in may not be so any more. Returns how to stop that. */
  onRound(listener: () => void): () => void
  /** Idempotent. */
  close(): void
}

export interface CredentialOptions {
  /** What this machine is to be; its certificate needs one of them. */
  readonly roles: readonly Role[]
  /** How often files are looked at. */
  readonly roundMs?: number
  readonly clock?: Clock
  /** A line that an administrator may want to see. */
  readonly onNote?: (text: string) => void
}

/** Peers are nodes and image servers: each both calls and is called. */
export const PEER_ROLES: readonly Role[] = ['node', 'image-server']

const IMAGE_SERVER: Demand = { roles: ['image-server'], side: 'server' }

/** A certificate that was revoked is cut off within a minute, whenever the file came. */
const ROUND_MS = 15_000

/** Who makes certificates and CRLs may be away for a while. */
const WARN_DAYS = 7

const DAY_MS = 86_400_000

/** Longer chains are refused by the path, too. */
const MOST_CERTIFICATES = 8

const USAGES = { client: '1.3.6.1.5.5.7.3.2', server: '1.3.6.1.5.5.7.3.1' } as const
const ANY_USAGE = '2.5.29.37.0'

/** Throws ERR_SI_CERTIFICATE, ERR_SI_KEY_EXPOSED. */
export async function openCredentials(
  files: CredentialFiles,
  options: CredentialOptions,
): Promise<Credentials> {
  const credentials = new LiveCredentials(files, options)
  await credentials.load()
  return credentials
}

class LiveCredentials implements Credentials {
  readonly #files: CredentialFiles
  readonly #options: CredentialOptions
  readonly #clock: Clock
  readonly #listeners = new Set<() => void>()
  #loaded: Loaded | undefined
  #versions = ''
  #lastNote = ''
  #lastWarning = ''
  #cancelRound = () => {}
  #isClosed = false

  constructor(files: CredentialFiles, options: CredentialOptions) {
    this.#files = files
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  async load(): Promise<void> {
    this.#versions = await versionsOf(this.#files)
    this.#loaded = await loadFiles(this.#files, this.#options.roles, this.#clock.now())
    this.#warn()
    this.#scheduleRound()
  }

  get material(): TlsMaterial {
    return this.#now.material
  }

  check(certificates: readonly Uint8Array[], demand: Demand): Identity {
    return judge(certificates, demand, { trust: this.#now.trust, now: this.#clock.now() })
  }

  callOptions(): CallOptions {
    return callOptionsOf(this.material, (chain) => this.check(chain, IMAGE_SERVER))
  }

  onRound(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#isClosed = true
    this.#cancelRound()
    this.#listeners.clear()
  }

  get #now(): Loaded {
    if (this.#loaded === undefined)
      throw new SiError('ERR_SI_INTERNAL', 'No credentials are loaded')
    return this.#loaded
  }

  #scheduleRound(): void {
    if (this.#isClosed) return
    const delayMs = this.#options.roundMs ?? ROUND_MS
    this.#cancelRound = this.#clock.schedule(delayMs, () => void this.#round())
  }

  async #round(): Promise<void> {
    try {
      await this.#renew()
    } catch (error) {
      this.#noteOnce(`${messageOf(error)}; what was read before stays in force`)
    }
    this.#warn()
    if (!this.#isClosed) for (const listener of this.#listeners) listener()
    this.#scheduleRound()
  }

  async #renew(): Promise<void> {
    const versions = await versionsOf(this.#files)
    if (versions === this.#versions) return
    this.#loaded = await loadFiles(this.#files, this.#options.roles, this.#clock.now())
    this.#versions = versions
    this.#lastNote = ''
    this.#options.onNote?.('certificates and CRLs were read anew')
  }

  /** Once a day, as the text tells the days that are left. */
  #warn(): void {
    const text = endingSoon(this.#now, this.#clock.now())
    if (text !== undefined && text !== this.#lastWarning) this.#options.onNote?.(text)
    this.#lastWarning = text ?? ''
  }

  #noteOnce(text: string): void {
    if (text !== this.#lastNote) this.#options.onNote?.(text)
    this.#lastNote = text
  }
}

/** For node:https without a certificate of our own: calls go to image servers of these authorities alone. */
export function anonymousCallOptions(
  { anchors, crls }: Pick<Trust, 'anchors' | 'crls'>,
  clock: Clock = systemClock,
): CallOptions {
  const trust = { anchors, crls }
  const check = (chain: readonly Uint8Array[]) =>
    judge(chain, IMAGE_SERVER, { trust, now: clock.now() })
  return callOptionsOf(materialOf({}, pemOf(anchors)), check)
}

/** Throws ERR_SI_UNTRUSTED. */
function judge(
  certificates: readonly Uint8Array[],
  { roles, side }: Demand,
  { trust, now }: { readonly trust: Pick<Trust, 'anchors' | 'crls'>; readonly now: Date },
): Identity {
  const [leaf, ...others] = parseShown(certificates)
  if (leaf === undefined) throw untrusted('it shows no certificate')
  checkPath(leaf, { ...trust, others, now })
  const identity = identityIn(leaf, roles)
  if (identity === undefined) throw untrusted(`${roleFault(leaf, roles)} (${leaf.subject})`)
  if (!mayBe(leaf, side)) {
    throw untrusted(`the key usage of ${leaf.subject} does not allow TLS as a ${side}`)
  }
  return identity
}

function pemOf(certificates: readonly Certificate[]): string[] {
  return certificates.map(({ bytes }) => encodePem('CERTIFICATE', bytes))
}

interface Loaded {
  readonly own: Certificate
  readonly material: TlsMaterial
  readonly trust: Trust
}

/** What ends within WARN_DAYS, and then the swarm for this machine. */
function endingSoon({ own, trust }: Loaded, now: Date): string | undefined {
  const daysLeft = (end: Date) => Math.floor((end.getTime() - now.getTime()) / DAY_MS)
  const certificateDays = daysLeft(own.notAfter)
  if (certificateDays < WARN_DAYS) {
    return `the certificate of this machine ends in ${certificateDays} days: have another one issued (si-ca issue)`
  }
  const newest = new Map<string, Date>()
  for (const { issuerKey, nextUpdate } of trust.crls) {
    const known = newest.get(issuerKey)
    if (nextUpdate !== undefined && !(known !== undefined && known > nextUpdate)) {
      newest.set(issuerKey, nextUpdate)
    }
  }
  const crlDays = Math.min(...[...newest.values()].map(daysLeft))
  if (crlDays >= WARN_DAYS) return undefined
  return `a CRL ends in ${crlDays} days, and nobody is let in after that: make a new one (si-ca crl)`
}

async function loadFiles(
  files: CredentialFiles,
  roles: readonly Role[],
  now: Date,
): Promise<Loaded> {
  const { certificateFile, keyFile, passphraseFile, trustFiles, crlFiles } = files
  const trust = await loadTrust({ trustFiles, crlFiles, allowUnsigned: false })
  if (trust.anchors.length === 0) {
    const message = 'Cannot use TLS: no authority is trusted here, so nobody could be let in'
    const hint =
      "Copy the image server's ca.pem to this machine by a way that you trust and add --trust ca.pem"
    throw new SiError('ERR_SI_CERTIFICATE', message, { hint })
  }
  const key = await readPrivateKey(keyFile, await readPassphrase(passphraseFile))
  const [own, ...others] = parseCertificates(await readOwn(certificateFile), certificateFile)
  if (own === undefined) throw certificateError(certificateFile, 'it holds no certificate')
  if (!own.publicKey.equals(createPublicKey(key))) {
    throw certificateError(certificateFile, `its first certificate does not belong to ${keyFile}`)
  }
  refuseOwn(own, { others, trust, roles, now, certificateFile })
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  const identity = { cert: pemOf([own, ...others]).join(''), key: keyPem }
  return { own, material: materialOf(identity, pemOf(trust.anchors)), trust }
}

/** What the others would refuse is refused here, where somebody can do something about it. */
function refuseOwn(
  own: Certificate,
  how: {
    readonly others: readonly Certificate[]
    readonly trust: Trust
    readonly roles: readonly Role[]
    readonly now: Date
    readonly certificateFile: string
  },
): void {
  const { others, roles, now, certificateFile } = how
  const [role = 'node'] = roles
  const hint = `Have one issued: si-ca issue --role ${role} --name NAME`
  if (identityIn(own, roles) === undefined) {
    throw certificateError(certificateFile, roleFault(own, roles), hint)
  }
  try {
    const { anchors, crls } = how.trust
    checkPath(own, { anchors, others, crls, now })
  } catch (error) {
    throw certificateError(certificateFile, messageOf(error), hint)
  }
}

function parseShown(certificates: readonly Uint8Array[]): readonly Certificate[] {
  try {
    const shown = certificates.slice(0, MOST_CERTIFICATES)
    return shown.map((bytes) => parseCertificate(bytes, 'the certificate it shows'))
  } catch (error) {
    throw untrusted(messageOf(error))
  }
}

function identityIn({ identities }: Certificate, roles: readonly Role[]): Identity | undefined {
  return identities.find(({ role }) => roles.includes(role))
}

function roleFault({ identities }: Certificate, roles: readonly Role[]): string {
  const given = identities.map(({ role }) => role).join(', ') || 'none'
  return `it does not have the role ${roles.join(' or ')}; its role: ${given}`
}

function mayBe({ keyUsages, extendedKeyUsages }: Certificate, side: Demand['side']): boolean {
  if (keyUsages?.includes('digitalSignature') === false) return false
  const usages = extendedKeyUsages ?? [ANY_USAGE]
  return usages.includes(USAGES[side]) || usages.includes(ANY_USAGE)
}

async function readOwn(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw certificateError(path, messageOf(error))
  }
}

/** Changes when one of the files does. */
async function versionsOf(files: CredentialFiles): Promise<string> {
  const { certificateFile, keyFile, trustFiles, crlFiles } = files
  const paths = [certificateFile, keyFile, ...trustFiles, ...crlFiles]
  const versions = paths.map(async (path) => {
    const info = await stat(path).catch(() => undefined) // whoever reads it says what is wrong
    return info === undefined ? '' : `${info.ino} ${info.size} ${info.mtimeMs} ${info.ctimeMs}`
  })
  return (await Promise.all(versions)).join()
}
