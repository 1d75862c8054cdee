// Operations for mirrors: who may change them, what their members have missed, and what it takes to bring a
// member up to date. PROTOCOL.md §7.
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, read, readlinkSync } from 'node:fs'
import { promisify } from 'node:util'
import { errnoOf } from '../../core/core.ts'
import { seekTo } from '../../host/host.ts'
import { FuseError } from '../fuse/errno.ts'
import { MAXIMUM_DIGESTS, type Found, type WireRequestOf } from '../wire/operations.ts'
import { type ServerContext, type ServerHandlers } from './context.ts'
import { Hold } from './hold.ts'
import { MirrorLog } from './mirror-log.ts'
import { clientPath, shownFound } from './name-handlers.ts'

const SLASH = 0x2f
const MAXIMUM_BLOCK_BYTES = 2 ** 20
const NO_DIGEST = Buffer.alloc(0)
const readAsync = promisify(read)

/** An export as a member of a mirror. */
export interface MirrorMember {
  readonly log: MirrorLog
  readonly holds: { readonly changes: Hold; readonly healing: Hold }
  /** The newest time that each object was given, by reference; for `stamp.ts`. */
  readonly stamps: Map<string, bigint>
}

export function createMirrorMember(hidden: string, boot: string): MirrorMember {
  return {
    log: new MirrorLog(hidden, boot),
    holds: { changes: new Hold(), healing: new Hold() },
    stamps: new Map(),
  }
}

export const mirrorHandlers = {
  async hold(context, { what, waits }) {
    const { client, signal, mirror, tell } = context
    const hold = mirror.holds[what]
    if (waits && !hold.isHeldBy(client)) tell({ name: 'wanted', body: { what } })
    await hold.take(client, { waits, signal })
    return {
      ...{ nowNs: BigInt(Date.now()) * 1_000_000n, isWanted: hold.isWanted },
      ...{ standing: mirror.log.standing, suspects: mirror.log.suspects() },
    }
  },
  letGo({ client, mirror }, { what, isSettled }) {
    if (isSettled && what === 'changes' && mirror.holds.changes.isHeldBy(client))
      mirror.log.settled()
    mirror.holds[what].release(client)
    return {}
  },
  standing: ({ mirror }) => mirror.log.standing,
  setStanding(context, { standing }) {
    checkHeld(context)
    context.mirror.log.standing = standing
    return {}
  },
  note(context, { member, misses }) {
    checkHeld(context)
    context.mirror.log.note(member, misses)
    return {}
  },
  misses: ({ mirror }, { member, position }) => mirror.log.misses(member, position),
  path(context, { reference }) {
    const path = pathOf(context, reference)
    if (!Buffer.from(resolve(context, path).reference).equals(reference)) {
      throw new FuseError('ESTALE')
    }
    return path
  },
  resolve: (context, { path }) => shownFound(context, resolve(context, path)),
  checksums,
} satisfies Partial<ServerHandlers>

/** Throws ENOLCK for a client that may not change the mirror now. */
export function checkHeld({ mirror, client }: Omit<ServerContext, 'signal'>): void {
  if (!mirror.holds.changes.isHeldBy(client)) throw new FuseError('ENOLCK')
}

/** Where the kernel last saw an object, from the export's root; perhaps it is not there any more. */
export function pathOf({ objects }: Omit<ServerContext, 'signal'>, reference: Uint8Array): Buffer {
  const [root, path] = [objects.root, reference].map((one) =>
    readlinkSync(objects.path(one), { encoding: 'buffer' }),
  )
  if (root === undefined || path === undefined) throw new FuseError('ESTALE')
  if (path.equals(root)) return Buffer.alloc(0)
  const below = root.length === 1 ? root : Buffer.concat([root, Buffer.of(SLASH)])
  if (!path.subarray(0, below.length).equals(below)) throw new FuseError('ESTALE')
  return path.subarray(below.length)
}

function resolve(context: ServerContext, path: Uint8Array): Found {
  const { objects } = context
  let found: Found = { reference: objects.root, attributes: objects.attributes(objects.root) }
  for (const name of componentsOf(path)) {
    clientPath(context, found.reference, name)
    found = objects.find(found.reference, name)
  }
  return found
}

export function componentsOf(path: Uint8Array): readonly Buffer[] {
  if (path.length === 0) return []
  return Buffer.from(path)
    .toString('latin1')
    .split('/')
    .map((name) => Buffer.from(name, 'latin1'))
}

async function checksums(
  { objects }: ServerContext,
  { reference, offset, blockBytes, count }: WireRequestOf<'checksums'>,
): Promise<{ readonly digests: readonly Buffer[] }> {
  if (blockBytes === 0 || blockBytes > MAXIMUM_BLOCK_BYTES) throw new FuseError('EINVAL')
  const fd = openSync(objects.path(reference), 'r')
  try {
    const { size } = fstatSync(fd)
    const digests: Buffer[] = []
    const block = Buffer.allocUnsafe(blockBytes)
    for (let at = offset; at < size && digests.length < bounded(count); at += blockBytes) {
      const lengthBytes = Math.min(blockBytes, size - at)
      digests.push(
        isHole(fd, at, lengthBytes)
          ? NO_DIGEST
          : await digestOf(fd, at, block.subarray(0, lengthBytes)),
      )
    }
    return { digests }
  } finally {
    closeSync(fd)
  }
}

function bounded(count: number): number {
  return Math.min(count, MAXIMUM_DIGESTS)
}

function isHole(fd: number, offset: number, lengthBytes: number): boolean {
  try {
    return seekTo(fd, 'data', offset) >= offset + lengthBytes
  } catch (error) {
    if (errnoOf(error) === 'ENXIO') return true
    throw error
  }
}

/** Of as much as there is; a file that is cut meanwhile has another size by then. */
async function digestOf(fd: number, offset: number, into: Buffer): Promise<Buffer> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await readAsync(fd, into, done, into.length - done, offset + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return createHash('sha256').update(into.subarray(0, done)).digest()
}
