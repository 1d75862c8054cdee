// What an image server needs to sign its images from the first one on, in one folder: an authority, a
// signer, and the server's own certificate. Invariant: what is there stays as it is, so that an
// interrupted run is gone on with by another.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exists } from '../core/core.ts'
import { encodePem } from './pem.ts'
import { createAuthority, openAuthority, type Authority } from './authority.ts'
import type { Certificate } from './certificate.ts'
import { writeDurably } from './durable-file.ts'
import type { Role } from './identity.ts'
import { KEY_MODE, type KeyType } from './private-key.ts'

export interface SiteOptions {
  readonly directory: string
  /** Of this machine, for the names in certificates. */
  readonly hostName: string
  readonly dnsNames: readonly string[]
  readonly addresses: readonly string[]
  readonly keyType: KeyType
  readonly authorityDays: number
  readonly passphraseFile: string | undefined
}

export interface Site {
  readonly authority: Certificate
  /** Paths, in the order they were made; empty when all was there. */
  readonly made: readonly string[]
}

const PUBLIC_MODE = 0o644

/** Throws what the authority throws. */
export async function makeSite(options: SiteOptions): Promise<Site> {
  const { directory, hostName, keyType, passphraseFile } = options
  await mkdir(directory, { recursive: true })
  const made: string[] = []
  const store = join(directory, 'ca')
  const origin = { type: 'new', name: `SwarmImager CA of ${hostName}`, keyType } as const
  let authority: Authority
  if (await exists(store)) {
    authority = await openAuthority(store)
  } else {
    const days = options.authorityDays
    authority = await createAuthority({ directory: store, days, passphraseFile, origin })
    made.push(store)
  }
  const trust = join(directory, 'ca.pem')
  if (!(await exists(trust))) {
    const root = authority.issuers.at(-1) ?? authority.certificate
    await writeDurably(trust, encodePem('CERTIFICATE', root.bytes), PUBLIC_MODE)
    made.push(trust)
  }
  const issue = async (role: Role, file: string) => {
    const path = join(directory, `${file}.pem`)
    if (await exists(path)) return
    const isServer = role === 'image-server'
    const { certificatePem, keyPem } = await authority.issue({
      identity: { role, name: hostName },
      dnsNames: isServer ? options.dnsNames : [],
      addresses: isServer ? options.addresses : [],
      days: undefined,
      key: { type: 'p256' },
      passphraseFile,
    })
    await writeDurably(join(directory, `${file}.key`), keyPem ?? '', KEY_MODE)
    await writeDurably(path, certificatePem, PUBLIC_MODE)
    made.push(path)
  }
  await issue('signer', 'signer')
  await issue('image-server', 'server')
  return { authority: authority.certificate, made }
}
