// An authority and what it issues, for swarms with TLS: made anew in a folder of the test, gone with it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Clock } from '../../src/core/core.ts'
import {
  createAuthority,
  openAuthority,
  openCredentials,
  type Authority,
  type CredentialFiles,
  type Credentials,
  type Role,
} from '../../src/pki/pki.ts'

const DAY_MS = 24 * 60 * 60 * 1000

export interface IssuedFiles {
  readonly certificateFile: string
  readonly keyFile: string
  readonly certPem: string
  readonly keyPem: string
}

export interface TlsSite extends AsyncDisposable {
  readonly directory: string
  readonly authority: Authority
  readonly caFile: string
  /** Empty at first. */
  readonly crlFile: string
  issue(role: Role, name: string, issuedDaysAgo?: number): Promise<IssuedFiles>
  filesOf(issued: IssuedFiles): CredentialFiles
  /** Of a new certificate; closed with the site. */
  credentials(role: Role, name: string, onNote?: (text: string) => void): Promise<Credentials>
}

/** Files are looked at ten times a second, so that no test waits. */
const ROUND_MS = 100

function clockAt(daysAgo: number): Clock {
  return { ...systemClock, now: () => new Date(Date.now() - daysAgo * DAY_MS) }
}

export async function createTlsSite(name = 'lab'): Promise<TlsSite> {
  const directory = await mkdtemp(join(tmpdir(), 'si-tls-'))
  const store = join(directory, 'ca')
  await createAuthority({
    ...{ directory: store, days: 3650, passphraseFile: undefined, clock: clockAt(100) },
    origin: { type: 'new', name, keyType: 'p256' },
  })
  const authority = await openAuthority(store)
  await authority.publishCrl({ days: 30, passphraseFile: undefined })
  const [caFile, crlFile] = [join(store, 'ca.pem'), join(store, 'crl.pem')]
  const opened: Credentials[] = []
  const filesOf = ({ certificateFile, keyFile }: IssuedFiles): CredentialFiles => ({
    ...{ certificateFile, keyFile, passphraseFile: undefined },
    ...{ trustFiles: [caFile], crlFiles: [crlFile] },
  })
  const issue = async (role: Role, holder: string, issuedDaysAgo = 0): Promise<IssuedFiles> => {
    const then = await openAuthority(store, clockAt(issuedDaysAgo))
    const { certificatePem, keyPem = '' } = await then.issue({
      identity: { role, name: holder },
      ...{ dnsNames: [], addresses: [], days: 10, passphraseFile: undefined },
      key: { type: 'p256' },
    })
    const prefix = join(directory, `${holder}-${Math.abs(issuedDaysAgo)}`)
    const files = { certificateFile: `${prefix}.pem`, keyFile: `${prefix}.key` }
    await writeFile(files.certificateFile, certificatePem)
    await writeFile(files.keyFile, keyPem, { mode: 0o600 })
    return { ...files, certPem: certificatePem, keyPem }
  }
  return {
    ...{ directory, authority, caFile, crlFile, issue, filesOf },
    async credentials(role, holder, onNote = () => {}) {
      const files = filesOf(await issue(role, holder))
      const credentials = await openCredentials(files, {
        roles: ['node', 'image-server'],
        roundMs: ROUND_MS,
        onNote,
      })
      opened.push(credentials)
      return credentials
    },
    async [Symbol.asyncDispose]() {
      for (const credentials of opened) credentials.close()
      await rm(directory, { recursive: true })
    },
  }
}
