// Who a certificate speaks for: a role and a name, written into it as the URI `swarmimager://ROLE/NAME`.
// Invariant: rights follow from this URI alone, never from the subject, which a company CA may fill as
// it likes.
import { SiError } from '../core/core.ts'

export const ROLES = ['image-server', 'signer', 'node', 'gridfs-client', 'gridfs-server'] as const

export type Role = (typeof ROLES)[number]

export interface Identity {
  readonly role: Role
  readonly name: string
}

export interface RoleProfile {
  /** Object identifiers of the extended key usages (RFC 5280 §4.2.1.12). */
  readonly extendedKeyUsages: readonly string[]
  readonly lifetimeDays: number
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
export const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'

/**
 * Nodes and image servers are peers: each both calls and is called. Certificates that are used live are
 * short-lived; that of a signer bounds how long an image can be deployed, so it lasts a year.
 */
export const ROLE_PROFILES: Readonly<Record<Role, RoleProfile>> = {
  'image-server': { extendedKeyUsages: [SERVER_AUTH, CLIENT_AUTH], lifetimeDays: 90 },
  signer: { extendedKeyUsages: [CODE_SIGNING], lifetimeDays: 365 },
  node: { extendedKeyUsages: [SERVER_AUTH, CLIENT_AUTH], lifetimeDays: 90 },
  'gridfs-client': { extendedKeyUsages: [CLIENT_AUTH], lifetimeDays: 90 },
  'gridfs-server': { extendedKeyUsages: [SERVER_AUTH], lifetimeDays: 90 },
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const URI = /^swarmimager:\/\/([a-z-]+)\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/

/** Throws ERR_SI_USAGE. */
export function parseRole(text: string): Role {
  const role = ROLES.find((known) => known === text)
  if (role !== undefined) return role
  throw new SiError('ERR_SI_USAGE', `There is no role ${JSON.stringify(text)}`, {
    hint: `Choose one of ${ROLES.join(', ')}`,
  })
}

/** Throws ERR_SI_USAGE. */
export function parseIdentityName(text: string): string {
  if (NAME.test(text)) return text
  throw new SiError('ERR_SI_USAGE', `Cannot use ${JSON.stringify(text)} as a certificate's name`, {
    hint: 'Use 1 to 64 letters, digits, dots, underscores or hyphens, beginning with a letter or digit',
  })
}

export function formatIdentityUri({ role, name }: Identity): string {
  return `swarmimager://${role}/${name}`
}

/** undefined for every URI that is none of ours. */
export function parseIdentityUri(uri: string): Identity | undefined {
  const [, word, name] = URI.exec(uri) ?? []
  const role = ROLES.find((known) => known === word)
  return role === undefined || name === undefined ? undefined : { role, name }
}
