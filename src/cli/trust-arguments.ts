// Options about signatures that several commands share, and what they mean for src/pki. Defaults lie in one
// folder, DIR, as si-server init makes it:
//
//     DIR/ca.pem                   the authority that nodes trust; nodes need nothing else
//     DIR/signer.pem, signer.key   who signs images on the image server
//     DIR/server.pem, server.key   the image server itself
//     DIR/ca/                      the authority's store (si-ca)
import { join } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { exists } from '../core/core.ts'
import type { ExpectedImage } from '../deploy/deploy.ts'
import type { Signer, Trust } from '../pki/pki.ts'
import { collect } from './arguments.ts'

export interface TrustFlags {
  readonly pki: string
  readonly trust: readonly string[]
  readonly crl: readonly string[]
  readonly allowUnsigned?: boolean
}

export interface SignerFlags {
  readonly pki: string
  readonly signer?: string
  readonly signerKey?: string
  readonly signerPassphraseFile?: string
  readonly sign: boolean
}

export const UNSIGNED_NOTE = 'the image will not be signed: si-server init makes a signer'

export const pkiOption = () =>
  new Option('--pki <dir>', 'folder of certificates and keys')
    .env('SI_PKI')
    .default('/etc/swarmimager/pki')

/** Whom to believe. */
export const authorityOptions = () => [
  new Option('--trust <file>', 'authorities whose signers to believe, and their CRLs, in PEM')
    .env('SI_TRUST')
    .argParser(collect)
    .default([], 'ca.pem of --pki, if there'),
  new Option('--crl <file>', 'certificates that they have revoked, PEM or DER')
    .env('SI_CRL')
    .argParser(collect)
    .default([], 'none'),
]

export const trustOptions = () => [
  pkiOption(),
  ...authorityOptions(),
  new Option('--allow-unsigned', 'also use images that nobody vouches for').env(
    'SI_ALLOW_UNSIGNED',
  ),
]

export const signerOptions = () => [
  pkiOption(),
  new Option(
    '--signer <file>',
    'certificate to sign with, and those above it (default: signer.pem of --pki, if there)',
  ).env('SI_SIGNER'),
  new Option('--signer-key <file>', 'its private key (default: the same name, .key)').env(
    'SI_SIGNER_KEY',
  ),
  new Option('--signer-passphrase-file <file>', "its first line opens the signer's key").env(
    'SI_SIGNER_PASSPHRASE_FILE',
  ),
  new Option('--no-sign', 'leave the image unsigned').env('SI_NO_SIGN'),
]

/** Throws ERR_SI_CERTIFICATE. */
export async function trustFrom(flags: TrustFlags): Promise<Trust> {
  const { loadTrust } = await import('../pki/pki.ts')
  return loadTrust({
    trustFiles: await trustFilesFrom(flags),
    crlFiles: flags.crl,
    allowUnsigned: flags.allowUnsigned === true,
  })
}

/** Empty: nobody is trusted yet. */
export async function trustFilesFrom({
  pki,
  trust,
}: Pick<TrustFlags, 'pki' | 'trust'>): Promise<readonly string[]> {
  const usual = join(pki, 'ca.pem')
  return trust.length === 0 && (await exists(usual)) ? [usual] : trust
}

/** undefined: nobody is there to sign. Throws ERR_SI_CERTIFICATE, ERR_SI_KEY_EXPOSED. */
export async function signerFrom(flags: SignerFlags): Promise<Signer | undefined> {
  const usual = join(flags.pki, 'signer.pem')
  if (!flags.sign || (flags.signer === undefined && !(await exists(usual)))) return undefined
  const { loadSigner } = await import('../pki/pki.ts')
  const certificateFile = flags.signer ?? usual
  const keyFile = flags.signerKey ?? certificateFile.replace(/(\.pem|\.crt)?$/, '.key')
  return loadSigner({ certificateFile, keyFile, passphraseFile: flags.signerPassphraseFile })
}

/** The image that --expect names, NAME or NAME/VERSION. */
export function parseExpectation(text: string): ExpectedImage {
  const [, name, version] = /^([^/]+)(?:\/([^/]+))?$/.exec(text) ?? []
  if (name !== undefined) return { name, version }
  throw new InvalidArgumentError('It must be NAME or NAME/VERSION.')
}

export function withOptions(command: Command, options: readonly Option[]): Command {
  for (const option of options) command.addOption(option)
  return command
}
