// What a server gives to whom: gridfs.yaml. Invariant: without a rule that allows it nobody gets anything.
//
//     exports:
//       - name: /images
//         directory: /var/lib/swarmimager
//         access: read-write          # or read-only, the default
//         clients: [gridfs-client/*, image-server/server2]
//         squash: root                # none (the default), root, all
//         squashTo: 65534:65534       # uid:gid of who is squashed
//     limits:                         # all may be left out; client: who a certificate names
//       connections: 1024
//       clientConnections: 16
//       clientSessions: 64
//       openFiles: 65536
//       clientOpenFiles: 16384
//       memory: 1GiB                  # requests in flight, answers that were not taken yet
//       clientMemory: 128MiB
//       stalled: 60s                  # half a message, or answers not read, for so long: cut off
import * as z from 'zod'
import { parseDuration, parseSize } from '../../core/core.ts'
import { closedObject, readConfiguration, type Configuration } from '../../config/config.ts'
import { type Identity } from '../../pki/pki.ts'
import { type WireCaller } from '../wire/operations.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { type GridRules } from './server.ts'

const CLIENT = /^(gridfs-client|image-server|node)\/([A-Za-z0-9._-]+|\*)$/
const NOBODY = '65534:65534'
const LEAST_MEMORY_BYTES = 4 * 2 ** 20

const exportText = closedObject({
  name: z.string().regex(/^\/[A-Za-z0-9._/-]*$/, 'must begin with a slash, such as /images'),
  directory: z.string().startsWith('/', 'must be a path from the root'),
  access: z.enum(['read-only', 'read-write']).default('read-only'),
  clients: z
    .array(z.string().regex(CLIENT, 'must be ROLE/NAME or ROLE/*, such as gridfs-client/*'))
    .default(['gridfs-client/*']),
  squash: z.enum(['none', 'root', 'all']).default('none'),
  squashTo: z
    .string()
    .regex(/^\d+:\d+$/, 'must be UID:GID')
    .default(NOBODY),
})

const count = z
  .string()
  .regex(/^[1-9]\d{0,6}$/, 'must be a number from 1 to 9999999')
  .transform(Number)
const size = parsedBy(parseSize, 'must be a size, such as 128MiB').refine(
  (bytes) => bytes >= LEAST_MEMORY_BYTES,
  'must be at least 4MiB, which one message may take',
)
const duration = parsedBy(parseDuration, 'must be a time, such as 60s')

const limitsText = closedObject({
  connections: count.default(DEFAULT_LIMITS.connections),
  clientConnections: count.default(DEFAULT_LIMITS.clientConnections),
  clientSessions: count.default(DEFAULT_LIMITS.clientSessions),
  openFiles: count.default(DEFAULT_LIMITS.openFiles),
  clientOpenFiles: count.default(DEFAULT_LIMITS.clientOpenFiles),
  memory: size.default(DEFAULT_LIMITS.memoryBytes),
  clientMemory: size.default(DEFAULT_LIMITS.clientMemoryBytes),
  stalled: duration.default(DEFAULT_LIMITS.stalledMs),
})

const rulesText = closedObject({
  exports: z.array(exportText).min(1, 'names no export'),
  limits: limitsText.optional(),
})

/** Throws ERR_SI_CONFIGURATION. */
export async function readRules(file: string): Promise<GridRules> {
  const configuration = await readConfiguration({ file, schema: rulesText, scalars: 'text' })
  checkNames(configuration)
  const exports = configuration.value.exports.map((one) => ({
    ...{ name: one.name, directory: one.directory, isReadOnly: one.access === 'read-only' },
    allows: (identity: Identity) => one.clients.some((rule) => isFor(rule, identity)),
    mapCaller: callerMap(one),
  }))
  if (configuration.value.limits === undefined) return { exports, limits: DEFAULT_LIMITS }
  const { memory, clientMemory, stalled, ...counts } = configuration.value.limits
  return {
    exports,
    limits: {
      ...{ ...counts, memoryBytes: memory, clientMemoryBytes: clientMemory, stalledMs: stalled },
    },
  }
}

function parsedBy(parse: (text: string) => number, message: string) {
  return z.string().transform((text, context) => {
    try {
      return parse(text)
    } catch {
      context.issues.push({ code: 'custom', message, input: text })
      return z.NEVER
    }
  })
}

function checkNames({ value, fault }: Configuration<z.infer<typeof rulesText>>): void {
  const seen = new Set<string>()
  for (const [index, { name }] of value.exports.entries()) {
    if (seen.has(name)) throw fault(['exports', index, 'name'], `${name} is exported twice`)
    seen.add(name)
  }
}

function isFor(rule: string, { role, name }: Identity): boolean {
  return rule === `${role}/*` || rule === `${role}/${name}`
}

function callerMap({ squash, squashTo }: z.infer<typeof exportText>) {
  const [uid = 0, gid = 0] = squashTo.split(':').map(Number)
  return (caller: WireCaller): WireCaller => {
    if (squash === 'none' || (squash === 'root' && caller.uid !== 0)) return caller
    return { uid, gid }
  }
}
