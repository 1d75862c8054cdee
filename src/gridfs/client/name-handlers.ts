// Operations on names: each is one call of the server. What it finds becomes a node.
import { asBuffer } from '../../core/core.ts'
import { type AttributeChanges, type Entry, type NewTime } from '../fuse/attributes.ts'
import { type FuseHandlers } from '../fuse/file-system.ts'
import { FuseError } from '../fuse/errno.ts'
import { type Found, type WireAttributes, type WireChanges } from '../wire/operations.ts'
import { type Mount } from './mount-context.ts'

export function entryOf({ nodes, options }: Mount, found: Found): Entry {
  const node = nodes.adopt(found)
  node.lookups += 1
  return {
    ...{ nodeId: node.id, generation: 0, attributes: found.attributes },
    ...{ nameValidMs: options.validMs, attributesValidMs: options.validMs },
  }
}

export function nameHandlers(mount: Mount) {
  const { nodes, server } = mount
  const reply = (attributes: WireAttributes) => ({ attributes, validMs: mount.options.validMs })
  return {
    async lookup(parent, { name }, { signal }) {
      const request = { parent: nodes.reference(parent), name }
      return entryOf(mount, (await server.call('lookup', request, { signal })).reply)
    },
    async getattr(id, _fields, { signal }) {
      await mount.writes.settled(id)
      const request = { reference: nodes.reference(id) }
      return reply((await server.call('getattr', request, { signal })).reply)
    },
    async setattr(id, { changes }, caller) {
      await mount.writes.settled(id)
      const request = {
        ...{ reference: nodes.reference(id), caller: { uid: caller.uid, gid: caller.gid } },
        changes: toWireChanges(changes),
      }
      return reply((await server.call('setattr', request, { signal: caller.signal })).reply)
    },
    async readlink(id, _fields, { signal }) {
      return (await server.call('readlink', { reference: nodes.reference(id) }, { signal })).reply
    },
    async symlink(parent, { name, target }, { uid, gid, signal }) {
      const request = { parent: nodes.reference(parent), name, target, caller: { uid, gid } }
      return entryOf(mount, (await server.call('symlink', request, { signal })).reply)
    },
    async mknod(parent, { name, mode, device }, { uid, gid, signal }) {
      const request = { parent: nodes.reference(parent), name, mode, device, caller: { uid, gid } }
      return entryOf(mount, (await server.call('mknod', request, { signal })).reply)
    },
    async mkdir(parent, { name, mode }, { uid, gid, signal }) {
      const request = { parent: nodes.reference(parent), name, mode, caller: { uid, gid } }
      return entryOf(mount, (await server.call('mkdir', request, { signal })).reply)
    },
    async unlink(parent, { name }, { signal }) {
      await server.call('unlink', { parent: nodes.reference(parent), name }, { signal })
    },
    async rmdir(parent, { name }, { signal }) {
      await server.call('rmdir', { parent: nodes.reference(parent), name }, { signal })
    },
    rename: (parent, fields, { signal }) => rename(mount, parent, { ...fields, signal }),
    rename2: (parent, fields, { signal }) => rename(mount, parent, { ...fields, signal }),
    async link(newParent, { oldNodeId, newName }, { signal }) {
      const request = {
        ...{
          reference: nodes.reference(oldNodeId),
          newParent: nodes.reference(newParent),
          newName,
        },
      }
      return entryOf(mount, (await server.call('link', request, { signal })).reply)
    },
    async statfs(id, _fields, { signal }) {
      return (await server.call('statfs', { reference: nodes.reference(id) }, { signal })).reply
    },
    async setxattr(id, { name, value, flags }, { signal }) {
      refuseUnheeded(name)
      await server.call(
        'setxattr',
        { reference: nodes.reference(id), name, value, flags },
        { signal },
      )
    },
    async getxattr(id, { name, sizeBytes }, { signal }) {
      refuseUnheeded(name)
      const request = { reference: nodes.reference(id), name }
      return sized((await server.call('getxattr', request, { signal })).reply, sizeBytes)
    },
    async listxattr(id, { sizeBytes }, { signal }) {
      const { reply: names } = await server.call(
        'listxattr',
        { reference: nodes.reference(id) },
        { signal },
      )
      return sized(withoutUnheeded(names), sizeBytes)
    },
    async removexattr(id, { name }, { signal }) {
      refuseUnheeded(name)
      await server.call('removexattr', { reference: nodes.reference(id), name }, { signal })
    },
  } satisfies FuseHandlers
}

async function rename(
  { nodes, server }: Mount,
  parent: number,
  wanted: {
    readonly newParent: number
    readonly name: Buffer
    readonly newName: Buffer
    readonly flags: number
    readonly signal: AbortSignal
  },
): Promise<void> {
  const { name, newName, flags, signal } = wanted
  const [from, to] = [nodes.reference(parent), nodes.reference(wanted.newParent)]
  await server.call('rename', { parent: from, name, newParent: to, newName, flags }, { signal })
}

/**
 * POSIX ACLs and SELinux labels: the kernel of this machine would show them and not heed them. `ls -l` asks
 * for both for each file, and asks no more once it was told that there are none here.
 */
const UNHEEDED = /^(system\.posix_acl_|security\.selinux$)/

function refuseUnheeded(name: Buffer): void {
  if (UNHEEDED.test(name.toString('latin1'))) throw new FuseError('EOPNOTSUPP')
}

/** Of names that each have a NUL behind them. */
function withoutUnheeded(names: Uint8Array): Buffer {
  const all = asBuffer(names).toString('latin1').split('\0')
  return Buffer.from(all.filter((name) => !UNHEEDED.test(name)).join('\0'), 'latin1')
}

function sized(value: Uint8Array, sizeBytes: number) {
  if (sizeBytes === 0) return { sizeBytes: value.length }
  if (value.length > sizeBytes) throw new FuseError('ERANGE')
  return value
}

function toWireChanges(changes: AttributeChanges): WireChanges {
  return {
    ...{ mode: changes.mode, uid: changes.uid, gid: changes.gid, sizeBytes: changes.sizeBytes },
    accessed: toWireTime(changes.accessedNs),
    modified: toWireTime(changes.modifiedNs),
    killsPrivileges: changes.killsPrivileges,
  }
}

function toWireTime(time: NewTime | undefined) {
  if (time === undefined) return undefined
  return time === 'now' ? { isNow: true, timeNs: 0n } : { isNow: false, timeNs: time }
}
