// The HTTP side of the image server: tracker, torrents, the list of images. Invariant: names in URLs
// pass the repository's parsers before they touch a path. Everything but what nodes tell is read-only.
import { readFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { join } from 'node:path'
import Fastify, {
  type FastifyServerFactory,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { errnoOf, isSiError, type ErrorCode, type SiError } from '../core/core.ts'
import {
  parseImageName,
  parseImageVersion,
  type ImageReference,
  type Repository,
} from '../repository/repository.ts'
import { encodeMetainfo, parseMetainfo } from '../torrent/torrent.ts'
import type { Tracker } from '../tracker/tracker.ts'
import type { PeerSecurity } from '../swarm/swarm.ts'
import { addBootRoutes } from './boot-files.ts'
import { renderIndex, type ImageStatus } from './image-index.ts'
import { addNodeRoutes, type NodeApiOptions } from './node-api.ts'
import { addCertificateRoute, type CertificateIssue } from './node-certificates.ts'
import { callerOf, createSecureServer, guardRequests } from './secure-server.ts'

export interface HttpOptions {
  readonly repository: Repository
  readonly tracker: Tracker
  /** Announce URL to put into torrents; left out: the address that the request used. */
  readonly announceUrl?: string | undefined
  readonly status: () => readonly ImageStatus[]
  readonly pkiDirectory: string | undefined
  /** What machines boot from; undefined: this server has nothing of it. */
  readonly bootDirectory?: string | undefined
  /** What nodes ask and tell; undefined: nothing. */
  readonly nodes?: Omit<NodeApiOptions, 'repository' | 'baseUrl'> | undefined
  /** Gives certificates to machines that are to be installed; undefined: this server does not. */
  readonly issue?: CertificateIssue | undefined
  /** undefined: HTTP, for everybody. */
  readonly security: PeerSecurity | undefined
  readonly onNote: (text: string) => void
}

export function createHttp(options: HttpOptions): FastifyInstance {
  const { security } = options
  const serverFactory: FastifyServerFactory<Server> | undefined =
    security && ((handle) => createSecureServer(security, handle))
  const app = Fastify<Server>({
    ...{ logger: false, forceCloseConnections: true, exposeHeadRoutes: true },
    ...(serverFactory && { serverFactory }),
  })
  if (security !== undefined) guardRequests(app, security, options.onNote)
  app.setErrorHandler((error, _request, reply) => sendError(error, reply))
  const track = (request: FastifyRequest, reply: FastifyReply) => {
    reply.hijack()
    options.tracker.handle(request.raw, reply.raw)
  }
  app.get('/announce', { exposeHeadRoute: false }, track)
  app.get('/scrape', { exposeHeadRoute: false }, track)
  app.get('/health', () => ({ status: 'ok' }))
  app.get('/', (_request, reply) =>
    reply.type('text/html; charset=utf-8').send(renderIndex(options.status())),
  )
  app.get('/images', () => options.status())
  app.get<{ Params: ImageParams }>('/images/:name/img.torrent', (request, reply) =>
    sendTorrent(request, reply, options),
  )
  app.get<{ Params: ImageParams }>('/images/:name/:version/img.torrent', (request, reply) =>
    sendTorrent(request, reply, options),
  )
  if (options.nodes !== undefined) {
    const baseUrl = (request: FastifyRequest) => `${request.protocol}://${addressedHost(request)}`
    // Where calls without a certificate are let in, they are believed as on a server without TLS.
    const isStrict = security?.allowsPlain === false
    const identityOf = isStrict
      ? (request: FastifyRequest) => callerOf(request, security)
      : undefined
    const { repository } = options
    addNodeRoutes(app, { identityOf, ...options.nodes, repository, baseUrl })
    const { issue, onNote } = options
    if (security !== undefined) addCertificateRoute(app, { ...options.nodes, issue, onNote })
    const { bootDirectory } = options
    if (bootDirectory !== undefined) {
      // Machines fetch these in the clear, and talk by TLS once they can.
      const isSecure = isStrict || issue !== undefined
      const nodeUrl = isSecure
        ? (request: FastifyRequest) => `https://${addressedHost(request)}`
        : baseUrl
      addBootRoutes(app, { ...options.nodes, bootDirectory, baseUrl, nodeUrl })
    }
  }
  const { pkiDirectory } = options
  if (pkiDirectory !== undefined) {
    // For people, who compare the fingerprint: no command of ours trusts what it gets from here.
    app.get('/ca.pem', (_request, reply) => sendPem(reply, join(pkiDirectory, 'ca.pem')))
    app.get('/crl.pem', (_request, reply) => sendPem(reply, join(pkiDirectory, 'ca/crl.pem')))
  }
  return app
}

async function sendPem(reply: FastifyReply, path: string): Promise<FastifyReply> {
  const pem = await readFile(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error
    return undefined
  })
  if (pem !== undefined) return reply.type('application/x-pem-file').send(pem)
  const message = 'Not there: si-server init makes it'
  return reply.code(404).send({ code: 'ERR_SI_AUTHORITY', message })
}

interface ImageParams {
  readonly name: string
  readonly version?: string
}

async function sendTorrent(
  request: FastifyRequest<{ Params: ImageParams }>,
  reply: FastifyReply,
  options: HttpOptions,
): Promise<FastifyReply> {
  const image = await findImage(options.repository, request.params)
  const { infoBytes, trackers, webSeeds } = parseMetainfo(await readFile(image.torrentPath))
  const own = options.announceUrl ?? `${request.protocol}://${addressedHost(request)}/announce`
  const others = trackers.map((tier) => tier.filter((url) => url !== own))
  const tiers = [[own], ...others.filter((tier) => tier.length > 0)]
  return reply
    .type('application/x-bittorrent')
    .header('content-disposition', `attachment; filename="${image.name}-${image.version}.torrent"`)
    .header('cache-control', 'no-cache')
    .send(encodeMetainfo({ infoBytes, trackers: tiers, webSeeds, createdBy: 'SwarmImager' }))
}

async function findImage(repository: Repository, params: ImageParams): Promise<ImageReference> {
  const { name, version } = params
  return repository.open(
    parseImageName(name),
    version === undefined || version === 'latest' ? undefined : parseImageVersion(version),
  )
}

/** The host and port the client typed; it reached us there, so its tracker client will as well. */
function addressedHost(request: FastifyRequest): string {
  const { host } = request.headers
  if (host !== undefined && /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(host)) {
    return host
  }
  const { localAddress = '127.0.0.1', localPort = 80 } = request.socket
  const address = localAddress.replace(/^::ffff:/, '')
  return `${address.includes(':') ? `[${address}]` : address}:${localPort}`
}

/** What a client did, or asked for, wrongly; all else is a fault of ours. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_SI_IMAGE_NOT_FOUND: 404,
  ERR_SI_NODE_UNKNOWN: 404,
  ERR_SI_IMAGE_NAME: 400,
  ERR_SI_REQUEST: 400,
  ERR_SI_FORBIDDEN: 403,
  ERR_SI_BUSY: 429,
  ERR_SI_AUTHORITY_LOCKED: 503,
}

function sendError(error: unknown, reply: FastifyReply): FastifyReply {
  if (isSiError(error)) return reply.code(STATUS[error.code] ?? 500).send(describe(error))
  const status = (error as { readonly statusCode?: number }).statusCode ?? 500
  return reply.code(status).send({ code: 'ERR_SI_INTERNAL', message: String(error) })
}

function describe({ code, message, hint }: SiError) {
  return { code, message, ...(hint === undefined ? {} : { hint }) }
}
