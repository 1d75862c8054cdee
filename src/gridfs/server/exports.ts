// What a server gives to whom: gridfs.yaml. Invariant: without a rule that allows it nobody gets anything.
//
//     exports:
//       - name: /images
//         directory: /var/lib/swarmimager
//         access: read-write          # or read-only, the default
//         clients: [gridfs-client/*, image-server/server2]
//         squash: root                # none (the default), root, all
//         squashTo: 65534:65534       # uid:gid of who is squashed
import * as z from 'zod'
import { closedObject, readConfiguration, type Configuration } from '../../config/config.ts'
import { type Identity } from '../../pki/pki.ts'
import { type WireCaller } from '../wire/operations.ts'
import { type GridExport } from './server.ts'

const CLIENT = /^(gridfs-client|image-server|node)\/([A-Za-z0-9._-]+|\*)$/
const NOBODY = '65534:65534'

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

const exportsText = closedObject({ exports: z.array(exportText).min(1, 'names no export') })

/** Throws ERR_SI_CONFIGURATION. */
export async function readExports(file: string): Promise<readonly GridExport[]> {
  const configuration = await readConfiguration({ file, schema: exportsText, scalars: 'text' })
  checkNames(configuration)
  return configuration.value.exports.map((one) => ({
    ...{ name: one.name, directory: one.directory, isReadOnly: one.access === 'read-only' },
    allows: (identity) => one.clients.some((rule) => isFor(rule, identity)),
    mapCaller: callerMap(one),
  }))
}

function checkNames({ value, fault }: Configuration<z.infer<typeof exportsText>>): void {
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
