// Nodes as the kernel of this machine counts them, and what each is to the server. The same object always
// has the same reference, so it has one node however it was reached.
import { asBuffer } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { ROOT_NODE_ID } from '../fuse/file-system.ts'
import { type Forgotten } from '../fuse/control-operations.ts'
import { type Found, type WireAttributes } from '../wire/operations.ts'

export interface GridNode {
  readonly id: number
  readonly reference: Buffer
  lookups: number
  /** What was last seen, to know at the next opening whether what the kernel has cached still holds. */
  seen: { readonly modifiedNs: bigint; readonly changedNs: bigint; readonly sizeBytes: number }
}

export class NodeTable {
  readonly #nodes = new Map<number, GridNode>()
  readonly #byReference = new Map<string, GridNode>()
  #lastId = ROOT_NODE_ID - 1

  get size(): number {
    return this.#nodes.size
  }

  node(id: number): GridNode {
    const node = this.#nodes.get(id)
    if (node === undefined) throw new FuseError('ESTALE')
    return node
  }

  reference(id: number): Buffer {
    return this.node(id).reference
  }

  byReference(reference: Uint8Array): GridNode | undefined {
    return this.#byReference.get(keyOf(reference))
  }

  /** The node of what was found; counts no lookup. */
  adopt({ reference, attributes }: Found): GridNode {
    const key = keyOf(reference)
    const known = this.#byReference.get(key)
    if (known !== undefined) return known
    this.#lastId += 1
    const node: GridNode = {
      ...{ id: this.#lastId, reference: Buffer.from(reference), lookups: 0 },
      seen: seenIn(attributes),
    }
    this.#nodes.set(node.id, node)
    this.#byReference.set(key, node)
    return node
  }

  forget(forgotten: readonly Forgotten[]): void {
    for (const { nodeId, lookups } of forgotten) {
      const node = this.#nodes.get(nodeId)
      if (node === undefined || nodeId === ROOT_NODE_ID) continue
      node.lookups -= lookups
      if (node.lookups > 0) continue
      this.#nodes.delete(nodeId)
      this.#byReference.delete(keyOf(node.reference))
    }
  }
}

export function seenIn({ modifiedNs, changedNs, sizeBytes }: WireAttributes): GridNode['seen'] {
  return { modifiedNs, changedNs, sizeBytes }
}

function keyOf(reference: Uint8Array): string {
  return asBuffer(reference).toString('latin1')
}
