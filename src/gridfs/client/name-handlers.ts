// Operations on names: each is one call of the server. What it finds becomes a node.
import { asBuffer } from '../../core/core.ts'
import { type AttributeChanges, type Entry, type NewTime } from '../fuse/attributes.ts'
import { type Caller, type FuseHandlers } from '../fuse/file-system.ts'
import { FuseError } from '../fuse/errno.ts'
import {
  type Found,
  type WireAttributes,
  type WireCaller,
  type WireChanges,
} from '../wire/operations.ts'
import { type Mount } from './mount-context.ts'
import { type FileName } from './mount-state.ts'

export function entryOf({ nodes, options }: Mount, found: Found): Entry {
  const node = nodes.found(found)
  return {
    ...{ nodeId: node.id, generation: 0, attributes: found.attributes },
    ...{ nameValidMs: options.validMs, attributesValidMs: options.validMs },
  }
}

export function fileOf({ nodes }: Mount, nodeId: number): FileName {
  return { nodeId, reference: nodes.reference(nodeId) }
}

export function idsOf({ uid, gid }: Caller): WireCaller {
  return { uid, gid }
}

export function nameHandlers(mount: Mount) {
  const { nodes, server } = mount
  const reply = (attributes: WireAttributes) => ({ attributes, validMs: mount.options.validMs })
  return {
    async lookup(parent, { name }, caller) {
      const request = { parent: nodes.reference(parent), name }
      return entryOf(mount, (await server.call('lookup', request, { caller })).reply)
    },
    async getattr(id, _fields, caller) {
      await mount.writes.settled(id)
      const request = { reference: nodes.reference(id) }
      return reply((await server.call('getattr', request, { caller })).reply)
    },
    async setattr(id, { changes }, caller) {
      await mount.writes.settled(id)
      const request = {
        ...{ reference: nodes.reference(id), caller: idsOf(caller) },
        changes: toWireChanges(changes),
      }
      const { reply: attributes } = await server.call('setattr', request, { caller })
      const { sizeBytes } = changes
      if (sizeBytes !== undefined)
        mount.unsynced.add(fileOf(mount, id), { kind: 'resize', sizeBytes })
      return reply(attributes)
    },
    async readlink(id, _fields, caller) {
      return (await server.call('readlink', { reference: nodes.reference(id) }, { caller })).reply
    },
    async symlink(parent, { name, target }, caller) {
      const request = { parent: nodes.reference(parent), name, target, caller: idsOf(caller) }
      return entryOf(mount, (await server.call('symlink', request, { caller })).reply)
    },
    async mknod(parent, { name, mode, device }, caller) {
      const request = { parent: nodes.reference(parent), name, mode, device, caller: idsOf(caller) }
      return entryOf(mount, (await server.call('mknod', request, { caller })).reply)
    },
    async mkdir(parent, { name, mode }, caller) {
      const request = { parent: nodes.reference(parent), name, mode, caller: idsOf(caller) }
      return entryOf(mount, (await server.call('mkdir', request, { caller })).reply)
    },
    async unlink(parent, { name }, caller) {
      await server.call('unlink', { parent: nodes.reference(parent), name }, { caller })
    },
    async rmdir(parent, { name }, caller) {
      await server.call('rmdir', { parent: nodes.reference(parent), name }, { caller })
    },
    rename: (parent, fields, caller) => rename(mount, parent, { ...fields, caller }),
    rename2: (parent, fields, caller) => rename(mount, parent, { ...fields, caller }),
    async link(newParent, { oldNodeId, newName }, caller) {
      const request = {
        ...{
          reference: nodes.reference(oldNodeId),
          newParent: nodes.reference(newParent),
          newName,
        },
      }
      return entryOf(mount, (await server.call('link', request, { caller })).reply)
    },
    async statfs(id, _fields, caller) {
      return (await server.call('statfs', { reference: nodes.reference(id) }, { caller })).reply
    },
    async setxattr(id, { name, value, flags }, caller) {
      refuseUnheeded(name)
      await server.call(
        'setxattr',
        { reference: nodes.reference(id), name, value, flags },
        { caller },
      )
    },
    async getxattr(id, { name, sizeBytes }, caller) {
      refuseUnheeded(name)
      const request = { reference: nodes.reference(id), name }
      return sized((await server.call('getxattr', request, { caller })).reply, sizeBytes)
    },
    async listxattr(id, { sizeBytes }, caller) {
      const { reply: names } = await server.call(
        'listxattr',
        { reference: nodes.reference(id) },
        { caller },
      )
      return sized(withoutUnheeded(names), sizeBytes)
    },
    async removexattr(id, { name }, caller) {
      refuseUnheeded(name)
      await server.call('removexattr', { reference: nodes.reference(id), name }, { caller })
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
    readonly caller: Caller
  },
): Promise<void> {
  const { name, newName, flags, caller } = wanted
  const [from, to] = [nodes.reference(parent), nodes.reference(wanted.newParent)]
  await server.call('rename', { parent: from, name, newParent: to, newName, flags }, { caller })
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
