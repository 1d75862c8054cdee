// si-server init: everything that this image server needs so that its images are signed.
import { hostname } from 'node:os'
import { isIP } from 'node:net'
import type { Command } from 'commander'
import { AUTHORITY_DAYS, collectAddress, keyTypeOption, passphraseFileOption } from './ca.ts'
import { collect, jsonOption } from './arguments.ts'
import { createCommand } from './command.ts'
import { writeJson, type Io } from './io.ts'
import { pkiOption } from './trust-arguments.ts'
import type { KeyType } from '../pki/pki.ts'

interface InitFlags {
  readonly pki: string
  readonly dns: readonly string[]
  readonly ip: readonly string[]
  readonly keyType: KeyType
  readonly passphraseFile?: string
  readonly json?: true
}

export function createServerInit(io: Io): Command {
  return createCommand({
    name: 'init',
    summary: 'Make an authority, a signer and the certificate of this image server',
    examples: [
      'si-server init',
      'si-server init --dns server.cluster --ip 10.0.0.1 --passphrase-file ca.pass',
    ],
    exitCodes: [0, 1, 2, 11],
  })
    .addOption(pkiOption())
    .option('--dns <name>', 'host name that nodes know this server by', collect, [])
    .option('--ip <address>', 'address that nodes know this server by', collectAddress, [])
    .addOption(keyTypeOption("the authority's key"))
    .addOption(passphraseFileOption())
    .addOption(jsonOption())
    .action((flags: InitFlags) => runInit(flags, io))
}

async function runInit(flags: InitFlags, io: Io): Promise<void> {
  const { fingerprintOf, makeSite } = await import('../pki/pki.ts')
  const { pki: directory, dns, ip: addresses, keyType, passphraseFile } = flags
  const name = hostname()
  const hostName = name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 64) || 'server'
  const own = isIP(name) === 0 && name !== '' ? [name] : []
  const { authority, made } = await makeSite({
    ...{ directory, hostName, dnsNames: [...new Set([...own, ...dns])], addresses, keyType },
    ...{ authorityDays: AUTHORITY_DAYS, passphraseFile },
  })
  const trust = `${directory}/ca.pem`
  const fingerprint = fingerprintOf(authority)
  if (flags.json) {
    writeJson(io, { type: 'site', directory, made, trust, subject: authority.subject, fingerprint })
    return
  }
  const what = made.length === 0 ? 'all is there already' : `made ${made.join(', ')}`
  io.stderr.write(`si-server: ${what}\n`)
  io.stderr.write(`si-server: nodes need ${trust}; compare its fingerprint where it gets to them\n`)
  io.stdout.write(`${trust}\n${authority.subject}\nSHA-256 ${fingerprint}\n`)
}
