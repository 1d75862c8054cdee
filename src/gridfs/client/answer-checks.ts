// What an honest server never answers, though it can be written on the wire: more than was asked for, names
// that lead out of their folder. The kernel and programs believe us, so such an answer is an EIO.
import { FuseError } from '../fuse/errno.ts'
import { type WireName, type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { type Answer } from './volume.ts'

type Checks = {
  readonly [Name in WireName]?: (
    request: WireRequestOf<Name>,
    reply: WireReplyOf<Name>,
    dataBytes: number,
  ) => boolean
}

const SLASH = 0x2f
const DOTS = new Set(['.', '..'])

const isOneName = (name: Uint8Array) =>
  name.length > 0 &&
  !name.includes(SLASH) &&
  !name.includes(0) &&
  !(name.length <= 2 && DOTS.has(Buffer.from(name).toString('latin1')))

const isHonest: Checks = {
  read: ({ sizeBytes }, _reply, dataBytes) => dataBytes <= sizeBytes,
  copy: ({ lengthBytes }, reply) => reply.lengthBytes <= lengthBytes,
  readdir: (_request, { entries }) => entries.every(({ name }) => isOneName(name)),
  readlink: (_request, target) => target.length > 0 && !target.includes(0),
}

/** Throws EIO. */
export function checkAnswer<Name extends WireName>(
  name: Name,
  request: WireRequestOf<Name>,
  { reply, data }: Answer<Name>,
): void {
  const check = isHonest[name] as
    ((request: unknown, reply: unknown, dataBytes: number) => boolean) | undefined
  if (check === undefined) return
  const dataBytes = data.reduce((sum, part) => sum + part.length, 0)
  if (!check(request, reply, dataBytes)) {
    throw new FuseError('EIO', `${name}: the server gave what nobody asked for`)
  }
}
