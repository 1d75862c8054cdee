// What machines boot from, over HTTP: iPXE's script for each, kernels and initramfs.
//
//     GET /boot/ipxe?mac=…&uuid=…      install, boot from disk, or why not yet
//     GET /boot/IMAGE/vmlinuz, /boot/IMAGE/initrd.img     with ranges
//
// Invariant: a machine is told to install only where cluster.yaml and si-netboot say so; one that nobody knows boots
// from its disk.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  findHost,
  resolveNode,
  type ClusterSource,
  type NodeConfiguration,
  type NodeStore,
} from '../cluster/cluster.ts'
import { errnoOf, isSiError, messageOf, SiError } from '../core/core.ts'
import {
  BOOT_FILES,
  installScript,
  localScript,
  readBootFacts,
  waitScript,
} from '../netboot/netboot.ts'
import { parseImageName, parseImageSpec } from '../repository/repository.ts'

export interface BootFilesOptions {
  readonly bootDirectory: string
  readonly cluster: ClusterSource
  readonly store: NodeStore
  /** `http://server:8080`, as the machine reached it. */
  readonly baseUrl: (request: FastifyRequest) => string
  /** The same server, for the installation that was booted. */
  readonly nodeUrl: (request: FastifyRequest) => string
}

interface BootQuery {
  readonly mac?: string
  readonly uuid?: string
}

interface FileParams {
  readonly image: string
  readonly file: string
}

export function addBootRoutes(app: FastifyInstance, options: BootFilesOptions): void {
  app.get<{ Querystring: BootQuery }>('/boot/ipxe', async (request, reply) =>
    reply
      .type('text/plain; charset=utf-8')
      .header('cache-control', 'no-store')
      .send(await scriptFor(request, options)),
  )
  app.get<{ Params: FileParams }>('/boot/:image/:file', (request, reply) =>
    sendFile(request, reply, options),
  )
}

async function scriptFor(
  request: FastifyRequest<{ Querystring: BootQuery }>,
  options: BootFilesOptions,
): Promise<string> {
  const { mac, uuid } = request.query
  try {
    const cluster = await options.cluster.current()
    if (cluster === undefined) return localScript(undefined)
    const query = { macs: mac === undefined ? [] : [mac], uuid }
    const { name } = findHost(cluster, query)
    const node = resolveNode(cluster, query)
    const boot = (await options.store.bootOf(name)) ?? node.boot
    return boot === 'install' ? await installation(request, node, options) : localScript(name)
  } catch (error) {
    if (isSiError(error, 'ERR_SI_NODE_UNKNOWN')) return localScript(undefined)
    return waitScript(messageOf(error))
  }
}

async function installation(
  request: FastifyRequest,
  node: NodeConfiguration,
  { bootDirectory, baseUrl, nodeUrl }: BootFilesOptions,
): Promise<string> {
  const { name } = parseImageSpec(node.image)
  const facts = await readBootFacts(bootDirectory, name)
  if (facts === undefined) {
    return waitScript(
      `${node.host} is to get ${name}, which has no boot files: si-mkautoinstall ${name}`,
    )
  }
  const server = nodeUrl(request)
  return installScript({
    bootUrl: baseUrl(request),
    server,
    facts,
    host: node.host,
    image: undefined,
  })
}

async function sendFile(
  request: FastifyRequest<{ Params: FileParams }>,
  reply: FastifyReply,
  { bootDirectory }: BootFilesOptions,
): Promise<FastifyReply> {
  const { file } = request.params
  const image = parseImageName(request.params.image)
  if (!BOOT_FILES.includes(file)) throw notThere(image, file)
  const handle = await open(join(bootDirectory, image, file)).catch((error: unknown) => {
    throw errnoOf(error) === 'ENOENT' ? notThere(image, file) : error
  })
  const { size } = await handle.stat()
  const range = parseRange(request.headers.range, size)
  void reply.type('application/octet-stream').header('accept-ranges', 'bytes')
  if (range === 'outside') {
    await handle.close()
    return reply.code(416).header('content-range', `bytes */${size}`).send()
  }
  const { start, end } = range ?? { start: 0, end: size - 1 }
  if (range !== undefined) {
    void reply.code(206).header('content-range', `bytes ${start}-${end}/${size}`)
  }
  return reply
    .header('content-length', end - start + 1)
    .send(handle.createReadStream({ start, end, highWaterMark: 2 ** 20 }))
}

/** One range of RFC 9110, section 14; undefined: the whole, also for what is no such range. */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): { readonly start: number; readonly end: number } | 'outside' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  const start = from === '' ? Math.max(0, sizeBytes - Number(to)) : Number(from)
  const end = from === '' || to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1)
  return start <= end && start < sizeBytes ? { start, end } : 'outside'
}

function notThere(image: string, file: string): SiError {
  return new SiError('ERR_SI_IMAGE_NOT_FOUND', `There is no boot file ${image}/${file}`, {
    hint: `Run si-mkautoinstall ${image}`,
  })
}
