// What to do with a request that an earlier process of the server meant to carry out: done already, or to be
// done now? Before a request that cannot simply be done twice, evidence is taken of how things are; when it
// comes again, evidence and what is there now tell. PROTOCOL.md §5.
import { fstatSync } from 'node:fs'
import { getxattr } from '../../host/host.ts'
import { type WireName, type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { type ServerContext } from './context.ts'

type Context = Omit<ServerContext, 'signal'>

interface Recovery<Name extends WireName> {
  /** How it is before; undefined when doing it twice does no harm. */
  readonly evidence: (context: Context, request: WireRequestOf<Name>) => Buffer | undefined
  /** The reply when it was done; undefined when it is to be done now. */
  readonly settled: (
    context: Context,
    request: WireRequestOf<Name>,
    evidence: Buffer,
  ) => WireReplyOf<Name> | undefined
}

type Recoveries = { readonly [Name in WireName]?: Recovery<Name> }

const ABSENT = Buffer.alloc(0)
const O_APPEND = 0o2000

interface Named {
  readonly parent: Uint8Array
  readonly name: Uint8Array
}

const find = ({ objects }: Context, { parent, name }: Named) => objects.findIfThere(parent, name)

/** What a name leads to; nothing when it leads nowhere. */
const present = (context: Context, named: Named) =>
  Buffer.from(find(context, named)?.reference ?? ABSENT)

/** Something is where nothing was: it was made. What was there before makes it fail again. */
const making = {
  evidence: present,
  settled: (context: Context, named: Named, evidence: Buffer) =>
    evidence.length === 0 ? find(context, named) : undefined,
}

/** What was there is not there any more: it was removed. */
const removing = {
  evidence: present,
  settled(context: Context, named: Named, evidence: Buffer) {
    const now = present(context, named)
    return evidence.length > 0 && !now.equals(evidence) ? {} : undefined
  },
}

const recoveries: Recoveries = {
  mkdir: making,
  mknod: making,
  symlink: making,
  unlink: removing,
  rmdir: removing,
  link: {
    evidence: (context, { newParent, newName }) =>
      present(context, { parent: newParent, name: newName }),
    settled(context, { newParent, newName, reference }, evidence) {
      const found = find(context, { parent: newParent, name: newName })
      const isIt = found !== undefined && Buffer.from(found.reference).equals(reference)
      return evidence.length === 0 && isIt ? found : undefined
    },
  },
  rename: {
    evidence: present,
    settled(context, { newParent, newName, ...from }, evidence) {
      const isThere = present(context, { parent: newParent, name: newName }).equals(evidence)
      const isGone = !present(context, from).equals(evidence)
      return evidence.length > 0 && isThere && isGone ? {} : undefined
    },
  },
  create: {
    evidence: present,
    // What the earlier process made is opened by the handler, which finds it there.
    settled: () => undefined,
  },
  setxattr: {
    evidence: ({ objects }, { reference, name, flags }) => {
      if (flags === 0) return undefined
      try {
        return getxattr(objects.path(reference), name)
      } catch {
        return ABSENT
      }
    },
    settled({ objects }, { reference, name, value }, evidence) {
      try {
        const now = getxattr(objects.path(reference), name)
        return now.equals(value) && !now.equals(evidence) ? {} : undefined
      } catch {
        return undefined
      }
    },
  },
  write: {
    evidence({ files }, { handle }) {
      const file = files.get(handle)
      if ((file.flags & O_APPEND) === 0) return undefined
      const size = Buffer.alloc(8)
      size.writeBigUInt64LE(fstatSync(file.fd, { bigint: true }).size)
      return size
    },
    settled: () => undefined,
  },
}

/** undefined for what may be done twice. */
export function evidenceFor(context: Context, name: WireName, request: unknown) {
  const recovery = recoveries[name] as Recovery<never> | undefined
  return recovery?.evidence(context, request as never)
}

/** The reply to a request that was carried out before; undefined when it is to be carried out now. */
export function settledBefore(
  context: Context,
  name: WireName,
  known: { readonly request: unknown; readonly evidence: Buffer },
): unknown {
  const recovery = recoveries[name] as Recovery<never> | undefined
  return recovery?.settled(context, known.request as never, known.evidence)
}
