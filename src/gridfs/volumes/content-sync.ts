// Makes the content of a file on one server that of another: blocks are compared by their SHA-256 on both,
// and only those that differ are moved. Holes stay holes.
import { constants } from 'node:fs'
import {
  type Found,
  type WireChanges,
  type WireName,
  type WireRequestOf,
} from '../wire/operations.ts'
import { type Answer, type CallOptions } from '../client/volume.ts'

/** A server, as far as bringing it up to date is concerned. */
export interface Side {
  ask<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    options?: CallOptions,
  ): Promise<Answer<Name>>
}

export interface ContentCount {
  comparedBytes: number
  movedBytes: number
}

const BLOCK_BYTES = 128 * 2 ** 10
const BLOCKS = 512
const PUNCH_HOLE = 3 // with FALLOC_FL_KEEP_SIZE
/** Handles of programs are counted from 1: these are never theirs. */
let lastHandle = 2 ** 50

export async function syncContent(
  sides: { readonly source: Side; readonly target: Side; readonly isDryRun: boolean },
  files: { readonly from: Found; readonly to: Found },
  count: ContentCount,
): Promise<void> {
  const { source, target, isDryRun } = sides
  const { sizeBytes } = files.from.attributes
  const differing = await differingBlocks(sides, files, count)
  if (isDryRun) {
    for (const { lengthBytes, isHole } of differing) count.movedBytes += isHole ? 0 : lengthBytes
    return
  }
  const handle = (lastHandle += 1)
  const { O_RDONLY, O_WRONLY } = constants
  await source.ask('open', { reference: files.from.reference, handle, flags: O_RDONLY })
  try {
    await target.ask('open', { reference: files.to.reference, handle, flags: O_WRONLY })
    for (const { offset, lengthBytes, isHole } of differing) {
      if (isHole) {
        await target.ask('fallocate', { handle, offset, lengthBytes, mode: PUNCH_HOLE })
        continue
      }
      const { data } = await source.ask('read', { handle, offset, sizeBytes: lengthBytes })
      await target.ask('write', { handle, offset, killsPrivileges: false }, { data })
      count.movedBytes += data.reduce((sum, { length }) => sum + length, 0)
    }
    if (differing.length > 0 || files.to.attributes.sizeBytes !== sizeBytes) {
      await setSize(target, files.to.reference, sizeBytes)
      await target.ask('fsync', { handle, isDataOnly: false })
    }
    await target.ask('release', { handle })
  } finally {
    await source.ask('release', { handle })
  }
}

interface Block {
  readonly offset: number
  readonly lengthBytes: number
  readonly isHole: boolean
}

async function differingBlocks(
  { source, target }: { readonly source: Side; readonly target: Side },
  { from, to }: { readonly from: Found; readonly to: Found },
  count: ContentCount,
): Promise<readonly Block[]> {
  const { sizeBytes } = from.attributes
  const blocks: Block[] = []
  const request = { blockBytes: BLOCK_BYTES, count: BLOCKS }
  for (let start = 0; start < sizeBytes; start += BLOCKS * BLOCK_BYTES) {
    const [wanted, present] = await Promise.all(
      [source, target].map(async (side, index) => {
        const { reference } = index === 0 ? from : to
        return (await side.ask('checksums', { ...request, reference, offset: start })).reply.digests
      }),
    )
    for (const [index, digest] of (wanted ?? []).entries()) {
      const offset = start + index * BLOCK_BYTES
      const lengthBytes = Math.min(BLOCK_BYTES, sizeBytes - offset)
      const other = present?.[index]
      if (digest.length > 0) count.comparedBytes += lengthBytes
      const isSame = other !== undefined && Buffer.from(other).equals(digest)
      // Behind the end of the target there is nothing to be made a hole.
      const isHole = digest.length === 0
      if (!isSame && !(isHole && other === undefined)) blocks.push({ offset, lengthBytes, isHole })
    }
  }
  return blocks
}

export async function setSize(side: Side, reference: Uint8Array, sizeBytes: number): Promise<void> {
  await side.ask('setattr', {
    ...{ reference, caller: { uid: 0, gid: 0 } },
    changes: { ...NO_CHANGES, sizeBytes },
  })
}

export const NO_CHANGES: WireChanges = {
  ...{ mode: undefined, uid: undefined, gid: undefined, sizeBytes: undefined },
  ...{ accessed: undefined, modified: undefined, killsPrivileges: false },
}
