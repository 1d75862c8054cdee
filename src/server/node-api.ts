// What nodes ask and tell while they are installed, and who may: with client certificates a node speaks for itself
// alone; without them everybody on the network is believed, as far as that goes (README, Limits and security).
//
//     GET  /v1/node?mac=…&uuid=…&name=…&nonce=…   its configuration, signed
//     POST /v1/nodes/HOST/report                   how far it is; success makes it boot locally
//     POST /v1/nodes/HOST/log                      text for the log that the server keeps
//     GET  /v1/nodes, /v1/nodes/HOST               what is known of all, of one
//
// Invariant: only hosts of cluster.yaml leave a trace here, and what each can leave is bounded.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import * as z from 'zod'
import {
  findHost,
  reportSchema,
  resolveNode,
  SIGNATURE_HEADER,
  type Cluster,
  type ClusterSource,
  type NodeAnswer,
  type NodeStore,
} from '../cluster/cluster.ts'
import { isSiError, messageOf, SiError } from '../core/core.ts'
import type { Identity, Signer } from '../pki/pki.ts'
import { parseImageSpec, type Repository } from '../repository/repository.ts'
import { createRequestLimit } from './request-limit.ts'

export interface NodeApiOptions {
  readonly cluster: ClusterSource
  readonly store: NodeStore
  readonly repository: Repository
  /** Signs answers to nodes; undefined: they are unsigned. */
  readonly signer: Signer | undefined
  /** `http://server:8080`, as the node reached it. */
  readonly baseUrl: (request: FastifyRequest) => string
  /** Whom the client's certificate speaks for; undefined: this server asks for none. */
  readonly identityOf?: ((request: FastifyRequest) => Identity | undefined) | undefined
}

const REPORT_BODY_BYTES = 256 * 1024
const LOG_BODY_BYTES = 2 ** 20

/** A node reports about once a second and sends its log every other. */
const LIMIT = { most: 100, windowMs: 10_000 }

const one = z.string().max(200)
const querySchema = z.strictObject({
  mac: z.union([one, z.array(one).max(64)]).optional(),
  uuid: one.optional(),
  name: one.optional(),
  nonce: one.default(''),
})

interface HostParams {
  readonly host: string
}

export function addNodeRoutes(app: FastifyInstance, options: NodeApiOptions): void {
  const limit = createRequestLimit(LIMIT)
  const admit = async (request: FastifyRequest<{ Params: HostParams }>) => {
    const { name } = findHost(await needCluster(options), { name: request.params.host })
    refuseOthers(request, name, options)
    if (limit.admit(name)) return name
    throw new SiError(
      'ERR_SI_BUSY',
      `${name} sends too much: more than ${LIMIT.most} calls in 10 s`,
    )
  }
  app.get('/v1/node', (request, reply) => sendConfiguration(request, reply, options))
  app.get('/v1/nodes', () => describeAll(options))
  app.get<{ Params: HostParams }>('/v1/nodes/:host', async (request) => {
    const cluster = await needCluster(options)
    return describe(cluster, findHost(cluster, { name: request.params.host }).name, options)
  })
  app.post<{ Params: HostParams }>(
    '/v1/nodes/:host/report',
    { bodyLimit: REPORT_BODY_BYTES },
    async (request, reply) => {
      const host = await admit(request)
      await options.store.report(host, parse(reportSchema, request.body))
      return reply.code(204).send()
    },
  )
  app.post<{ Params: HostParams }>(
    '/v1/nodes/:host/log',
    { bodyLimit: LOG_BODY_BYTES },
    async (request, reply) => {
      const host = await admit(request)
      await options.store.appendLog(host, parse(z.string(), request.body))
      return reply.code(204).send()
    },
  )
}

async function sendConfiguration(
  request: FastifyRequest,
  reply: FastifyReply,
  options: NodeApiOptions,
): Promise<FastifyReply> {
  const { mac = [], uuid, name, nonce } = parse(querySchema, request.query)
  const cluster = await needCluster(options)
  const macs = typeof mac === 'string' ? [mac] : mac
  const configuration = resolveNode(cluster, { macs, uuid, name })
  const { host, image, overrides, boot } = configuration
  refuseOthers(request, host, options)
  const urlOf = (spec: string) => torrentUrl(spec, options.baseUrl(request), options.repository)
  const answer: NodeAnswer = {
    ...configuration,
    boot: (await options.store.bootOf(host)) ?? boot,
    torrent: await urlOf(image),
    overrideTorrents: await Promise.all(overrides.map(urlOf)),
    nonce,
  }
  const body = Buffer.from(`${JSON.stringify(answer)}\n`)
  const signature = options.signer?.signBytes(body).toString('base64')
  if (signature !== undefined) reply.header(SIGNATURE_HEADER, signature)
  return reply
    .type('application/json; charset=utf-8')
    .header('cache-control', 'no-store')
    .send(body)
}

/** null: no such image, which the node is told in place of an error: to boot locally it needs none. */
async function torrentUrl(
  text: string,
  base: string,
  repository: Repository,
): Promise<string | null> {
  const { name, version } = parseImageSpec(text)
  try {
    const image = await repository.open(name, version)
    return `${base}/images/${image.name}/${image.version}/img.torrent`
  } catch (error) {
    if (isSiError(error, 'ERR_SI_IMAGE_NOT_FOUND')) return null
    throw error
  }
}

async function describeAll(options: NodeApiOptions) {
  const cluster = await options.cluster.current()
  const hosts = [...(cluster?.hosts.keys() ?? [])]
  return await Promise.all(
    hosts.map((host) => describe(cluster as Cluster, host, options).catch(asFault(host))),
  )
}

/** One host without an image must not hide the others. */
function asFault(host: string) {
  return (error: unknown) => ({ host, fault: messageOf(error) })
}

async function describe(cluster: Cluster, name: string, { store }: NodeApiOptions) {
  const { host, groups, image, boot } = resolveNode(cluster, { name })
  const report = (await store.reportOf(host)) ?? null
  return { host, groups, image, boot: (await store.bootOf(host)) ?? boot, report }
}

async function needCluster({ cluster }: NodeApiOptions): Promise<Cluster> {
  const current = await cluster.current()
  if (current !== undefined) return current
  throw new SiError('ERR_SI_NODE_UNKNOWN', 'This image server knows no hosts', {
    hint: 'Write /etc/swarmimager/cluster.yaml on the image server, or name another with --cluster',
  })
}

/** Throws ERR_SI_FORBIDDEN. */
function refuseOthers(request: FastifyRequest, host: string, { identityOf }: NodeApiOptions): void {
  if (identityOf === undefined) return
  const identity = identityOf(request)
  if (identity?.role === 'node' && identity.name.toLowerCase() === host) return
  const who = identity === undefined ? 'nobody' : `${identity.role}/${identity.name}`
  throw new SiError('ERR_SI_FORBIDDEN', `Cannot speak for ${host} with a certificate of ${who}`, {
    hint: `Issue one on the image server: si-ca issue --role node --name ${host}`,
  })
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const found = schema.safeParse(value)
  if (found.success) return found.data
  const [issue] = found.error.issues
  const where = issue?.path.join('.') ?? ''
  const message = `${where === '' ? '' : `${where}: `}${issue?.message ?? 'cannot be read'}`
  throw new SiError('ERR_SI_REQUEST', message)
}
