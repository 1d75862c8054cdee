// Which bytes of which files a request reads, and which it changes: what its turn depends on. What is not
// listed here touches no content, and goes at once.
import { constants } from 'node:fs'
import { errnoOf } from '../../core/core.ts'
import { type WireName, type WireRequestOf } from '../wire/operations.ts'
import { type ServerContext } from './context.ts'
import { latin1 } from './object-table.ts'
import { type Reach, type Touched } from './turns.ts'

type Context = Pick<ServerContext, 'files'>

type Reaches = {
  readonly [Name in WireName]?: (
    context: Context,
    request: WireRequestOf<Name>,
    dataBytes: number,
  ) => Touched
}

const range = (reference: Uint8Array, start: number, lengthBytes: number): Reach => ({
  ...{ file: latin1(reference), start, end: start + lengthBytes },
})
const whole = (reference: Uint8Array): Reach => range(reference, 0, Infinity)

/** Waits for all that was written before. */
const behindAll = ({ files }: Context, { handle }: { readonly handle: number }): Touched => ({
  reads: whole(files.get(handle).reference),
})

const reaches: Reaches = {
  write({ files }, { handle, offset }, dataBytes) {
    const { reference, flags } = files.get(handle)
    const isAppended = (flags & constants.O_APPEND) !== 0
    return { changes: isAppended ? whole(reference) : range(reference, offset, dataBytes) }
  },
  setattr: (_, { reference }) => ({ changes: whole(reference) }),
  open: (_, { reference, flags }) =>
    (flags & constants.O_TRUNC) === 0 ? {} : { changes: whole(reference) },
  restore: (_, { reference }) => ({ changes: whole(reference) }),
  commit: (_, { reference }) => ({ reads: whole(reference) }),
  fallocate: ({ files }, { handle }) => ({ changes: whole(files.get(handle).reference) }),
  copy: ({ files }, { handle, offset, toHandle, toOffset, lengthBytes }) => ({
    reads: range(files.get(handle).reference, offset, lengthBytes),
    changes: range(files.get(toHandle).reference, toOffset, lengthBytes),
  }),
  read: ({ files }, { handle, offset, sizeBytes }) => ({
    reads: range(files.get(handle).reference, offset, sizeBytes),
  }),
  seek: behindAll,
  flush: behindAll,
  fsync: behindAll,
  release: behindAll,
}

/** Nothing for a handle that is not open: the request fails by itself. */
export function touchedBy(
  context: Context,
  name: WireName,
  { request, dataBytes }: { readonly request: unknown; readonly dataBytes: number },
): Touched {
  const find = reaches[name] as AnyReach | undefined
  try {
    return find?.(context, request, dataBytes) ?? {}
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return {}
  }
}

type AnyReach = (context: Context, request: unknown, dataBytes: number) => Touched
