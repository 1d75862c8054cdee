// How a bare machine comes by a certificate: it makes a key, which stays in its memory, and asks the image server to certify
// it. The server believes what it sees: a host that is to be installed now. Invariant: the request goes to an image
// server of our authority alone, and nothing secret lies in the initramfs.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError } from '../../core/core.ts'
import {
  anonymousCallOptions,
  createCertificateRequest,
  loadTrust,
  openCredentials,
  PEER_ROLES,
  type Credentials,
} from '../../pki/pki.ts'
import type { NodeIdentity } from './server-client.ts'
import { request, ServerUnreachable, type ImageServer } from './server-request.ts'

export interface EnrolmentOptions {
  readonly identity: NodeIdentity
  /** PEM files with the authorities of the site. */
  readonly trustFiles: readonly string[]
  /** Made for key, certificate and CRL; in memory, as they are for this installation alone. */
  readonly directory: string
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

export interface Enrolled {
  /** To be closed. */
  readonly credentials: Credentials
  /** What the authority has revoked. */
  readonly crlFiles: readonly string[]
}

const KEY_MODE = 0o600

/** Throws ServerUnreachable, ERR_SI_UNTRUSTED, ERR_SI_CERTIFICATE. */
export async function enrol(url: string, options: EnrolmentOptions): Promise<Enrolled> {
  const { identity, trustFiles, directory, say, signal } = options
  const trust = await loadTrust({ trustFiles, crlFiles: [], allowUnsigned: false })
  if (trust.anchors.length === 0) {
    throw new SiError('ERR_SI_CERTIFICATE', `Cannot talk to ${url}: no authority is trusted here`, {
      hint: 'Make the boot files anew where /etc/swarmimager/pki/ca.pem is, or with --trust',
    })
  }
  const server = { url, callOptions: () => anonymousCallOptions(trust) }
  const { requestPem, keyPem } = await createCertificateRequest()
  const body = JSON.stringify({ ...identity, request: requestPem })
  const headers = { 'content-type': 'application/json' }
  const response = await request(server, '/v1/certificate', {
    method: 'POST',
    headers,
    body,
    signal,
  })
  if (!response.ok) throw await refusal(url, response)
  const { certificate } = (await response.json()) as { readonly certificate: string }
  await mkdir(directory, { recursive: true })
  const certificateFile = join(directory, 'node.pem')
  const keyFile = join(directory, 'node.key')
  await writeFile(keyFile, keyPem, { mode: KEY_MODE })
  await writeFile(certificateFile, certificate)
  const crlFiles = await fetchCrl(server, options)
  const files = { certificateFile, keyFile, passphraseFile: undefined, trustFiles, crlFiles }
  const credentials = await openCredentials(files, { roles: PEER_ROLES })
  say(`${url} has issued a certificate to this machine, for a day`)
  return { credentials, crlFiles }
}

/** A server that does not want to install this machine, or not by certificates, may be told to: that is waited for. */
async function refusal(url: string, response: Response): Promise<Error> {
  const text = await response.text()
  let told: { readonly code?: string; readonly message?: string; readonly hint?: string } = {}
  try {
    told = JSON.parse(text) as typeof told
  } catch {
    // the text itself is all there is
  }
  const message = `${url} issues no certificate: ${told.message ?? text.slice(0, 300)}`
  if (told.code === 'ERR_SI_FORBIDDEN')
    return new ServerUnreachable(`${message} (${told.hint ?? ''})`)
  return new SiError('ERR_SI_UNTRUSTED', message, { hint: told.hint })
}

/** What the authority has revoked; it is signed, so it matters not who hands it out. */
async function fetchCrl(
  server: ImageServer,
  { directory, signal }: EnrolmentOptions,
): Promise<readonly string[]> {
  const response = await request(server, '/crl.pem', { signal })
  if (!response.ok) return []
  const file = join(directory, 'crl.pem')
  await writeFile(file, await response.text())
  return [file]
}
