// Certificates for machines that are installed now, so that they can take part where everything is TLS. Invariant: only a host
// of cluster.yaml that is to boot into an installation gets one, in its own name, as a node, for a day. That it is that
// host the server believes by its addresses alone (README, Limits and security): this is for the time of an installation.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import * as z from 'zod'
import { findHost, resolveNode, type ClusterSource, type NodeStore } from '../cluster/cluster.ts'
import { isSiError, SiError } from '../core/core.ts'
import type { Authority } from '../pki/pki.ts'
import { createRequestLimit } from './request-limit.ts'

export interface CertificateIssue {
  readonly authority: Authority
  /** Its first line opens the authority's key. */
  readonly passphraseFile: string | undefined
}

export interface NodeCertificateOptions {
  readonly cluster: ClusterSource
  readonly store: NodeStore
  /** undefined: this server issues none. */
  readonly issue: CertificateIssue | undefined
  readonly onNote: (text: string) => void
}

export const CERTIFICATE_PATH = '/v1/certificate'

const DAYS = 1
const BODY_BYTES = 64 * 1024
/** A machine asks once each time it boots. */
const LIMIT = { most: 10, windowMs: 60_000 }

const one = z.string().max(200)
const bodySchema = z.strictObject({
  mac: one,
  uuid: one.optional(),
  name: one.optional(),
  /** PKCS #10, PEM. */
  request: z.string().max(BODY_BYTES),
})

export function addCertificateRoute(app: FastifyInstance, options: NodeCertificateOptions): void {
  const limit = createRequestLimit(LIMIT)
  let last: Promise<unknown> = Promise.resolve() // an authority does one thing at a time
  app.post(CERTIFICATE_PATH, { bodyLimit: BODY_BYTES }, async (request) => {
    const body = bodySchema.safeParse(request.body)
    if (!body.success) throw new SiError('ERR_SI_REQUEST', 'It must be JSON: mac and request')
    const host = await hostToInstall(body.data, options)
    if (!limit.admit(host)) throw new SiError('ERR_SI_BUSY', `${host} asks too often`)
    const issued = last.then(() => issueTo(host, body.data.request, options.issue))
    last = issued.catch(() => {})
    const { record, certificatePem } = await issued
    options.onNote(`certificate ${record.serial} for ${host}, which asked from ${request.ip}`)
    return { certificate: certificatePem }
  })
}

/** Whether a caller may ask without a certificate of its own. */
export function asksForCertificate(request: FastifyRequest): boolean {
  return request.routeOptions.url === CERTIFICATE_PATH
}

/** Throws ERR_SI_NODE_UNKNOWN, ERR_SI_FORBIDDEN. */
async function hostToInstall(
  {
    mac,
    uuid,
    name,
  }: { readonly mac: string; uuid?: string | undefined; name?: string | undefined },
  { cluster, store }: NodeCertificateOptions,
): Promise<string> {
  const current = await cluster.current()
  if (current === undefined) {
    throw new SiError('ERR_SI_NODE_UNKNOWN', 'This image server knows no hosts', {
      hint: 'Write /etc/swarmimager/cluster.yaml on the image server',
    })
  }
  const query = { macs: [mac], uuid, name }
  const { name: host } = findHost(current, query)
  const boot = (await store.bootOf(host)) ?? resolveNode(current, query).boot
  if (boot === 'install') return host
  throw new SiError('ERR_SI_FORBIDDEN', `${host} is not to be installed`, {
    hint: `On the image server: si-netboot ${host} install`,
  })
}

async function issueTo(host: string, request: string, issue: CertificateIssue | undefined) {
  if (issue === undefined) {
    throw new SiError('ERR_SI_FORBIDDEN', 'This image server issues no certificates to machines', {
      hint: 'Start it with --issue-to-nodes, which needs the authority on it',
    })
  }
  const { authority, passphraseFile } = issue
  try {
    return await authority.issue({
      identity: { role: 'node', name: host },
      ...{ dnsNames: [], addresses: [], days: DAYS, passphraseFile },
      key: { request: Buffer.from(request) },
    })
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_CERTIFICATE')) throw error
    throw new SiError('ERR_SI_REQUEST', error.message, { hint: error.hint, cause: error })
  }
}
