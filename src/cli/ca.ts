// si-ca: the x509 authority of a cluster, in a folder.
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { isIP } from 'node:net'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { exists, messageOf, SiError } from '../core/core.ts'
import type { Identity, KeyType, RevocationReason, Role } from '../pki/pki.ts'
import { collect, jsonOption, parseInteger } from './arguments.ts'
import { createCommand } from './command.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'

/** As in pki; repeated so that --help need not load the library. A test compares them. */
export const CHOICES = {
  roles: ['image-server', 'signer', 'node', 'gridfs-client', 'gridfs-server'],
  keyTypes: ['p256', 'ed25519'],
  reasons: [
    'unspecified',
    'keyCompromise',
    'affiliationChanged',
    'superseded',
    'cessationOfOperation',
  ],
} as const

export const AUTHORITY_DAYS = 3650

interface StoreFlags {
  readonly ca: string
  readonly passphraseFile?: string
  readonly json?: true
}

interface InitFlags extends StoreFlags {
  readonly name: string
  readonly keyType: KeyType
  readonly days: number
  readonly certificate?: string
  readonly key?: string
}

interface IssueFlags extends StoreFlags {
  readonly role: Role
  readonly name: string
  readonly dns: readonly string[]
  readonly ip: readonly string[]
  readonly days?: number
  readonly keyType: KeyType
  readonly csr?: string
  readonly out?: string
  readonly replace?: true
}

interface RevokeFlags extends StoreFlags {
  readonly reason: RevocationReason
  readonly crlDays: number
}

interface CrlFlags extends StoreFlags {
  readonly days: number
}

export function createCaCommand(io: Io): Command {
  const command = createCommand({
    name: 'ca',
    summary: 'Run the x509 authority that nodes, servers and signatures are trusted by',
    examples: [
      'si-ca init --passphrase-file ca.pass',
      'si-ca issue --role signer --name golden --out /etc/swarmimager/pki/signer',
      'si-ca issue --role image-server --name server --dns server.cluster --ip 10.0.0.1',
      'si-ca issue --role node --name node01 --csr node01.csr      the key stays on node01',
      'si-ca list',
      'si-ca revoke node/node01 --reason keyCompromise && si-ca crl > crl.pem',
    ],
    exitCodes: [0, 1, 2, 11],
  })
  return command
    .addCommand(createInit(io))
    .addCommand(createIssue(io))
    .addCommand(createRevoke(io))
    .addCommand(createList(io))
    .addCommand(createCrl(io))
}

function createInit(io: Io): Command {
  return storeCommand('init', 'Make an authority, or take over an existing one', 'si-ca init')
    .option('--name <text>', 'its name in certificates', `SwarmImager CA of ${hostname()}`)
    .addOption(keyTypeOption())
    .addOption(daysOption('its certificate', AUTHORITY_DAYS, '10 years'))
    .option(
      '--certificate <file>',
      'take over this authority: its certificate, then those above it',
    )
    .option('--key <file>', 'the key of --certificate, in PEM')
    .action((flags: InitFlags) => runInit(flags, io))
}

function createIssue(io: Io): Command {
  return storeCommand(
    'issue',
    'Issue a certificate, with a new key or for a request',
    'si-ca issue --role node --name node01',
  )
    .addOption(
      new Option('--role <role>', 'what its holder may do')
        .choices(CHOICES.roles)
        .makeOptionMandatory(),
    )
    .requiredOption('--name <name>', 'who its holder is: the name of a machine, as a rule')
    .option('--dns <name>', 'host name that clients know a server by', collect, [])
    .option('--ip <address>', 'address that clients know a server by', collectAddress, [])
    .addOption(daysOption('the certificate', undefined, '90; a year for a signer'))
    .addOption(keyTypeOption())
    .option('--csr <file>', 'certificate request whose key to certify; nothing else of it counts')
    .option('--out <prefix>', 'write PREFIX.pem and PREFIX.key (default: the name)')
    .option('--replace', 'overwrite these files')
    .action((flags: IssueFlags) => runIssue(flags, io))
}

function createRevoke(io: Io): Command {
  return storeCommand('revoke', 'Revoke certificates and publish a CRL', 'si-ca revoke node/node01')
    .argument('<which>', 'a serial number, or ROLE/NAME for all of this holder')
    .addOption(new Option('--reason <why>', 'why').choices(CHOICES.reasons).default('unspecified'))
    .option('--crl-days <n>', 'how long the CRL is good for', parseInteger(1, 3650), 30)
    .action((which: string, flags: RevokeFlags) => runRevoke(which, flags, io))
}

function createList(io: Io): Command {
  return storeCommand('list', 'List what was issued', 'si-ca list --json').action(
    (flags: StoreFlags) => runList(flags, io),
  )
}

function createCrl(io: Io): Command {
  return storeCommand('crl', 'Publish a new CRL, and print it in PEM', 'si-ca crl > crl.pem')
    .addOption(daysOption('the CRL', 30, '30'))
    .action((flags: CrlFlags) => runCrl(flags, io))
}

async function runInit(flags: InitFlags, io: Io): Promise<void> {
  const { createAuthority, fingerprintOf } = await import('../pki/pki.ts')
  const { certificate, key, name, keyType } = flags
  if ((certificate === undefined) !== (key === undefined)) {
    throw new SiError('ERR_SI_USAGE', 'Give --certificate and --key together')
  }
  const origin =
    certificate === undefined || key === undefined
      ? ({ type: 'new', name, keyType } as const)
      : ({ type: 'existing', certificateFile: certificate, keyFile: key } as const)
  const { ca: directory, days, passphraseFile } = flags
  const authority = await createAuthority({ directory, days, passphraseFile, origin })
  const fingerprint = fingerprintOf(authority.certificate)
  const { subject, notAfter } = authority.certificate
  if (flags.json) {
    const until = notAfter.toISOString()
    writeJson(io, {
      type: 'authority',
      directory: authority.directory,
      subject,
      until,
      fingerprint,
    })
    return
  }
  if (passphraseFile === undefined) {
    io.stderr.write(
      'si-ca: the key of the authority is not encrypted; --passphrase-file does that\n',
    )
  }
  io.stdout.write(`${authority.directory}/ca.pem\n${subject}\nSHA-256 ${fingerprint}\n`)
}

async function runIssue(flags: IssueFlags, io: Io): Promise<void> {
  const { KEY_MODE, openAuthority, parseIdentityName, writeDurably } = await import('../pki/pki.ts')
  const identity: Identity = { role: flags.role, name: parseIdentityName(flags.name) }
  const prefix = flags.out ?? flags.name
  const paths = { certificate: `${prefix}.pem`, key: `${prefix}.key` }
  const isOwnKey = flags.csr === undefined
  if (!flags.replace) await refuseExisting([paths.certificate, ...(isOwnKey ? [paths.key] : [])])
  const authority = await openAuthority(flags.ca)
  const { record, certificatePem, keyPem } = await authority.issue({
    ...{ identity, dnsNames: flags.dns, addresses: flags.ip, days: flags.days },
    key: flags.csr === undefined ? { type: flags.keyType } : { request: await read(flags.csr) },
    passphraseFile: flags.passphraseFile,
  })
  if (keyPem !== undefined) await writeDurably(paths.key, keyPem, KEY_MODE)
  await writeDurably(paths.certificate, certificatePem, 0o644)
  const files = [paths.certificate, ...(keyPem === undefined ? [] : [paths.key])]
  if (flags.json) writeJson(io, { type: 'issued', ...record, files })
  else io.stdout.write(`${files.join('\n')}\nserial ${record.serial}, until ${record.notAfter}\n`)
}

async function runRevoke(which: string, flags: RevokeFlags, io: Io): Promise<void> {
  const { openAuthority } = await import('../pki/pki.ts')
  const authority = await openAuthority(flags.ca)
  const { reason, crlDays: days, passphraseFile } = flags
  const records = await authority.revoke(which, { reason, days, passphraseFile })
  for (const record of records) {
    if (flags.json) writeJson(io, { type: 'revoked', ...record })
    else io.stdout.write(`revoked ${record.serial} ${record.role}/${record.name}\n`)
  }
  const crl = `${authority.directory}/crl.pem`
  io.stderr.write(`si-ca: ${crl} says so now; bring it to the nodes (--crl)\n`)
}

async function runList(flags: StoreFlags, io: Io): Promise<void> {
  const { openAuthority } = await import('../pki/pki.ts')
  const records = await (await openAuthority(flags.ca)).list()
  const now = new Date().toISOString()
  const rows = records.map((record) => {
    const state =
      record.revokedAt !== null ? 'revoked' : record.notAfter < now ? 'expired' : 'valid'
    return { ...record, state }
  })
  if (flags.json) for (const row of rows) writeJson(io, row)
  else {
    const table = rows.map((row) => [row.serial, row.role, row.name, row.notAfter, row.state])
    io.stdout.write(formatTable([['SERIAL', 'ROLE', 'NAME', 'VALID UNTIL', 'STATE'], ...table]))
  }
}

async function runCrl(flags: CrlFlags, io: Io): Promise<void> {
  const { openAuthority } = await import('../pki/pki.ts')
  const authority = await openAuthority(flags.ca)
  const { days, passphraseFile } = flags
  const crl = await authority.publishCrl({ days, passphraseFile })
  if (flags.json) writeJson(io, { type: 'crl', path: `${authority.directory}/crl.pem`, crl })
  else io.stdout.write(crl)
}

function storeCommand(name: string, summary: string, example: string): Command {
  return createCommand({ name, summary, examples: [example], exitCodes: [0, 1, 2, 11] })
    .addOption(caOption())
    .addOption(passphraseFileOption())
    .addOption(jsonOption())
}

export const caOption = () =>
  new Option('--ca <dir>', 'the folder of the authority')
    .env('SI_CA')
    .default('/etc/swarmimager/pki/ca')

export const passphraseFileOption = () =>
  new Option('--passphrase-file <file>', "its first line encrypts the authority's key").env(
    'SI_CA_PASSPHRASE_FILE',
  )

export const keyTypeOption = (what = 'the new key') =>
  new Option('--key-type <type>', `kind of ${what}`).choices(CHOICES.keyTypes).default('p256')

const daysOption = (what: string, value: number | undefined, text: string) =>
  new Option('--days <n>', `how long ${what} is good for`)
    .argParser(parseInteger(1, 36_500))
    .default(value, text)

export function collectAddress(value: string, previous: readonly string[]): readonly string[] {
  if (isIP(value) !== 0) return [...previous, value]
  throw new InvalidArgumentError('It must be an IPv4 or IPv6 address.')
}

async function refuseExisting(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (!(await exists(path))) continue
    throw new SiError('ERR_SI_USAGE', `Cannot write ${path}: it exists`, {
      hint: 'Choose other files with --out, or add --replace',
    })
  }
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new SiError('ERR_SI_USAGE', `Cannot read ${path}: ${messageOf(error)}`)
  }
}
