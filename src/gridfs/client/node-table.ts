// Nodes as the kernel of this machine counts them, and what each is to the server. The same object always
// has the same reference, so it has one node however it was reached. A count that was written down and not
// given to the kernel, because this process ended in between, is too high: such a node stays, and does no harm.
import { asBuffer } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { ROOT_NODE_ID } from '../fuse/file-system.ts'
import { type Forgotten } from '../fuse/control-operations.ts'
import { type Found, type WireAttributes } from '../wire/operations.ts'
import { type StateRecord } from './state-records.ts'

export interface GridNode {
  readonly id: number
  readonly reference: Buffer
  lookups: number
  /**
   * What was last seen, to know at the next opening whether what the kernel has cached still holds;
   * undefined when another process saw it.
   */
  seen:
    | { readonly modifiedNs: bigint; readonly changedNs: bigint; readonly sizeBytes: number }
    | undefined
}

export class NodeTable {
  readonly #nodes = new Map<number, GridNode>()
  readonly #byReference = new Map<string, GridNode>()
  readonly #note: (record: StateRecord) => void
  #lastId = ROOT_NODE_ID - 1

  /** `note` is told of every change. */
  constructor(note: (record: StateRecord) => void) {
    this.#note = note
  }

  get size(): number {
    return this.#nodes.size
  }

  get lastId(): number {
    return this.#lastId
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
    const known = this.#byReference.get(keyOf(reference))
    if (known !== undefined) return known
    const node = this.restore(this.#lastId + 1, reference)
    node.seen = seenIn(attributes)
    this.#note({ name: 'node', body: { node: node.id, reference: node.reference } })
    return node
  }

  /** The node of what the kernel is now told of. */
  found(found: Found): GridNode {
    const node = this.adopt(found)
    node.lookups += 1
    this.#note({ name: 'lookups', body: { node: node.id, change: 1n } })
    return node
  }

  forget(forgotten: readonly Forgotten[]): void {
    for (const { nodeId, lookups } of forgotten) {
      if (!this.#nodes.has(nodeId) || nodeId === ROOT_NODE_ID) continue
      this.#note({ name: 'lookups', body: { node: nodeId, change: -BigInt(lookups) } })
      this.count(nodeId, -lookups)
    }
  }

  /** A node as an earlier process numbered it. */
  restore(id: number, reference: Uint8Array): GridNode {
    const node = { id, reference: Buffer.from(reference), lookups: 0, seen: undefined }
    this.#nodes.set(id, node)
    this.#byReference.set(keyOf(reference), node)
    this.reserve(id)
    return node
  }

  /** Numbers up to this one have been given. */
  reserve(id: number): void {
    this.#lastId = Math.max(this.#lastId, id)
  }

  /** Changes the lookups of a node, which is dropped when none are left. */
  count(id: number, change: number): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    node.lookups += change
    if (node.lookups > 0 || change > 0) return
    this.#nodes.delete(id)
    this.#byReference.delete(keyOf(node.reference))
  }

  *records(): Generator<StateRecord> {
    for (const { id, reference, lookups } of this.#nodes.values()) {
      yield { name: 'node', body: { node: id, reference } }
      if (lookups > 0) yield { name: 'lookups', body: { node: id, change: BigInt(lookups) } }
    }
  }
}

export function seenIn({
  modifiedNs,
  changedNs,
  sizeBytes,
}: WireAttributes): NonNullable<GridNode['seen']> {
  return { modifiedNs, changedNs, sizeBytes }
}

export function keyOf(reference: Uint8Array): string {
  return asBuffer(reference).toString('latin1')
}
