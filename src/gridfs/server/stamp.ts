// Changes of a mirror carry the time at which they happen, so that all members show the same times. Only who
// holds the mirror may make them, and what they touch is written down first. PROTOCOL.md §7.
import { constants } from 'node:fs'
import { asBuffer, errnoOf } from '../../core/core.ts'
import { setTimes } from '../../host/host.ts'
import {
  type Found,
  type WireAttributes,
  type WireName,
  type WireRequestOf,
} from '../wire/operations.ts'
import { type ServerContext } from './context.ts'
import { checkHeld, pathOf } from './mirror-handlers.ts'
import { joinPath } from '../path-text.ts'
import { attributesOf } from './name-handlers.ts'
import { latin1 } from './object-table.ts'

type Context = Omit<ServerContext, 'signal'>

interface Touched {
  /** Folders whose names change. */
  readonly names?: readonly (readonly [folder: Uint8Array, name: Uint8Array])[]
  readonly object?: Uint8Array
  /** Whether the object's content changes, and with it the time of its last modification. */
  readonly hasNewContent?: boolean
}

type Touches = {
  readonly [Name in WireName]?: (context: Context, request: WireRequestOf<Name>) => Touched
}

const named = (_: Context, { parent, name }: { parent: Uint8Array; name: Uint8Array }) => ({
  names: [[parent, name]] as const,
})
const ofObject = (_: Context, { reference }: { reference: Uint8Array }) => ({ object: reference })
const content = ({ files }: Context, handle: number) => ({
  object: files.get(handle).reference,
  hasNewContent: true,
})

const touches: Touches = {
  symlink: named,
  mknod: named,
  mkdir: named,
  create: named,
  unlink: named,
  rmdir: named,
  rename: (_, { parent, name, newParent, newName }) => ({
    names: [
      [parent, name],
      [newParent, newName],
    ],
  }),
  link: (_, { newParent, newName }) => ({ names: [[newParent, newName]] }),
  setxattr: ofObject,
  removexattr: ofObject,
  setattr: (_, { reference, changes }) => ({
    object: reference,
    hasNewContent: changes.sizeBytes !== undefined && changes.modified === undefined,
  }),
  open: (_, { reference, flags }) =>
    (flags & constants.O_TRUNC) === 0 ? {} : { object: reference, hasNewContent: true },
  write: ({ files }, { handle }) => content({ files } as Context, handle),
  fallocate: ({ files }, { handle }) => content({ files } as Context, handle),
  copy: ({ files }, { toHandle }) => content({ files } as Context, toHandle),
}

const makes: ReadonlySet<WireName> = new Set(['symlink', 'mknod', 'mkdir', 'create', 'tmpfile'])
const KEPT_STAMPS = 4096

/** Does a change at its time. Throws ENOLCK when its client does not hold the mirror. */
export async function carryOutStamped(
  context: Context,
  change: { readonly name: WireName; readonly request: unknown; readonly stampNs: bigint },
  carryOut: (request: unknown) => Promise<unknown>,
): Promise<unknown> {
  checkHeld(context)
  const { name, stampNs } = change
  const request = name === 'setattr' ? atTime(change.request as never, stampNs) : change.request
  const touched = (touches[name] as AnyTouches | undefined)?.(context, request) ?? {}
  noteChanging(context, touched)
  const reply = await carryOut(request)
  for (const [folder] of touched.names ?? []) stamp(context, folder, stampNs)
  if (touched.object !== undefined && touched.hasNewContent === true) {
    stamp(context, touched.object, stampNs)
  }
  if (makes.has(name)) return stampMade(context, reply as Found, stampNs)
  if (name !== 'setattr' && name !== 'open') return reply
  return attributesOf(context, (request as { readonly reference: Uint8Array }).reference)
}

type AnyTouches = (context: Context, request: unknown) => Touched

function atTime(request: WireRequestOf<'setattr'>, stampNs: bigint): WireRequestOf<'setattr'> {
  const { accessed, modified } = request.changes
  const exact = (time: typeof accessed) =>
    time?.isNow === true ? { isNow: false, timeNs: stampNs } : time
  const changes = { ...request.changes, accessed: exact(accessed), modified: exact(modified) }
  return { ...request, changes }
}

function noteChanging(context: Context, { names = [], object }: Touched): void {
  const { log } = context.mirror
  for (const [folder, name] of names) log.changing(joinPath(pathOf(context, folder), name))
  if (object !== undefined) log.changing(somePathOf(context, object))
}

/** Nothing, which means anything, for an object that no name is known of. */
function somePathOf(context: Context, reference: Uint8Array): Uint8Array {
  try {
    return pathOf(context, reference)
  } catch (error) {
    if (errnoOf(error) !== 'ESTALE') throw error
    return new Uint8Array()
  }
}

/** Requests may be done in another order than they were made: the newest time holds. */
function stamp(context: Context, reference: Uint8Array, stampNs: bigint): void {
  const { stamps } = context.mirror
  const key = latin1(reference)
  const before = stamps.get(key) ?? 0n
  const newest = before > stampNs ? before : stampNs
  stamps.delete(key)
  stamps.set(key, newest)
  if (stamps.size > KEPT_STAMPS) stamps.delete(stamps.keys().next().value ?? '')
  setTimes(context.objects.path(reference), undefined, newest)
}

function stampMade(context: Context, { reference }: Found, stampNs: bigint): Found {
  setTimes(context.objects.path(reference), stampNs, stampNs)
  const attributes: WireAttributes = attributesOf(context, reference)
  return { reference: asBuffer(reference), attributes }
}
