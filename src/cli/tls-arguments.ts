// Options about TLS that commands of the swarm share. Defaults lie beside those of trust-arguments:
//
//     DIR/server.pem, server.key   the image server itself
//     DIR/node.pem, node.key       a node
//     DIR/crl.pem, ca/crl.pem      what the authority has revoked
import { join } from 'node:path'
import { Option } from 'commander'
import { exists, SiError } from '../core/core.ts'
import type { CredentialFiles, Credentials, Role } from '../pki/pki.ts'
import type { PeerSecurity } from '../swarm/swarm.ts'
import { trustFilesFrom } from './trust-arguments.ts'

export interface CredentialFlags {
  readonly pki: string
  readonly trust: readonly string[]
  readonly crl: readonly string[]
  readonly certificate?: string
  readonly key?: string
  readonly keyPassphraseFile?: string
}

export interface TlsFlags extends CredentialFlags {
  readonly tls?: boolean
  readonly tlsAllowPlain?: boolean
}

/** Whose certificate it is, and what its files are called. */
export type TlsHolder = 'server' | 'node' | 'gridfs-server' | 'gridfs-client'

export const tlsOptions = (holder: TlsHolder) => [
  new Option(
    '--tls',
    'talk to peers, trackers and callers over TLS 1.3 only, both sides with certificates',
  ).env('SI_TLS'),
  new Option(
    '--tls-allow-plain',
    'with --tls: also let in who calls without, for a time of change',
  ).env('SI_TLS_ALLOW_PLAIN'),
  ...credentialOptions(holder),
]

/** Who we are to others over TLS. */
export const credentialOptions = (holder: TlsHolder) => [
  new Option('--certificate <file>', 'our certificate for TLS, and those above it, in PEM')
    .env('SI_CERTIFICATE')
    .default(undefined, `${holder}.pem of --pki`),
  new Option('--key <file>', 'its private key')
    .env('SI_KEY')
    .default(undefined, 'the same name, .key'),
  new Option('--key-passphrase-file <file>', 'its first line opens that key').env(
    'SI_KEY_PASSPHRASE_FILE',
  ),
]

/** What `onNote` gets are lines for an administrator. */
export interface TlsContext {
  readonly holder: TlsHolder
  readonly onNote: (text: string) => void
}

/**
 * undefined without --tls; what it opens is to be closed by the caller. Throws ERR_SI_USAGE, ERR_SI_CERTIFICATE,
 * ERR_SI_KEY_EXPOSED.
 */
export async function securityFrom(
  flags: TlsFlags,
  { holder, onNote }: TlsContext,
): Promise<(PeerSecurity & { close(): void }) | undefined> {
  if (flags.tls !== true) {
    if (flags.tlsAllowPlain !== true) return undefined
    throw new SiError('ERR_SI_USAGE', '--tls-allow-plain says what else --tls lets in', {
      hint: 'Add --tls (SI_TLS)',
    })
  }
  const { PEER_ROLES } = await import('../pki/pki.ts')
  const roles = holder === 'server' ? (['image-server'] as const) : PEER_ROLES
  const credentials = await credentialsFrom(flags, { holder, roles, onNote })
  return {
    credentials,
    allowsPlain: flags.tlsAllowPlain === true,
    close: () => credentials.close(),
  }
}

/** To be closed by the caller. Throws ERR_SI_CERTIFICATE, ERR_SI_KEY_EXPOSED. */
export async function credentialsFrom(
  flags: CredentialFlags,
  { holder, roles, onNote }: TlsContext & { readonly roles: readonly Role[] },
): Promise<Credentials> {
  const { openCredentials } = await import('../pki/pki.ts')
  return openCredentials(await filesFrom(flags, holder), { roles, onNote })
}

async function filesFrom(flags: CredentialFlags, holder: TlsHolder): Promise<CredentialFiles> {
  const certificateFile = flags.certificate ?? join(flags.pki, `${holder}.pem`)
  const keyFile = flags.key ?? certificateFile.replace(/(\.pem|\.crt)?$/, '.key')
  for (const file of [certificateFile, keyFile])
    if (!(await exists(file))) throw missing(file, holder)
  const trustFiles = await trustFilesFrom(flags)
  const usual = [join(flags.pki, 'crl.pem'), join(flags.pki, 'ca', 'crl.pem')]
  const found = await Promise.all(usual.map(exists))
  return {
    ...{ certificateFile, keyFile, passphraseFile: flags.keyPassphraseFile, trustFiles },
    crlFiles: flags.crl.length > 0 ? flags.crl : usual.filter((_, at) => found[at]),
  }
}

function missing(file: string, holder: TlsHolder): SiError {
  return new SiError('ERR_SI_CERTIFICATE', `Cannot use TLS: ${file} is not there`, {
    hint: `${REMEDIES[holder]}, or name others with --certificate and --key`,
  })
}

const issue = (role: string) =>
  `Run si-ca issue --role ${role} --name NAME --out ${role} on the image server and bring ${role}.pem and ${role}.key here`

const REMEDIES: Readonly<Record<TlsHolder, string>> = {
  server: 'Run si-server init',
  node: issue('node'),
  'gridfs-server': issue('gridfs-server'),
  'gridfs-client': issue('gridfs-client'),
}
