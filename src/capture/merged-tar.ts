// One tar out of two: members that changed come from the golden client, the others, byte for byte, from the
// image before. Invariant: the result is the archive that tar would have made of the whole tree: the same
// members in the same order, the same end.
import type { PackReader, TarSource } from '../image/image.ts'
import type { MemberStream } from './member-stream.ts'
import type { Selection } from './selection.ts'
import type { Unchanged } from './unchanged.ts'

/** GNU tar pads an archive to whole records of this size (--blocking-factor 20). */
export const RECORD_BYTES = 10_240
const END_BYTES = 1024

export interface MergedTarOptions {
  readonly selection: Pick<Selection, 'members'>
  readonly unchanged: Unchanged
  readonly changed: MemberStream
  /** Of the image before. */
  readonly pack: Pick<PackReader, 'range'>
}

/** Throws what the golden client's stream throws, and ERR_SI_INTEGRITY where the image is damaged. */
export function mergeTar(options: MergedTarOptions): TarSource {
  const parts = mergedParts(options)
  let rest: Uint8Array = new Uint8Array(0)
  return {
    async read(into) {
      while (rest.length === 0) {
        const next = await parts.next()
        if (next.done === true) return 0
        rest = next.value
      }
      const taken = rest.subarray(0, into.length)
      into.set(taken)
      rest = rest.subarray(taken.length)
      return taken.length
    },
  }
}

/** Each part is valid until the next is taken. */
async function* mergedParts(options: MergedTarOptions): AsyncGenerator<Uint8Array> {
  let tarBytes = 0
  for await (const part of members(options)) {
    tarBytes += part.length
    yield part
  }
  const wholeBytes = Math.ceil((tarBytes + END_BYTES) / RECORD_BYTES) * RECORD_BYTES
  yield new Uint8Array(wholeBytes - tarBytes)
}

async function* members(options: MergedTarOptions): AsyncGenerator<Uint8Array> {
  const { selection, unchanged, changed, pack } = options
  /** A directory that vanished after it was listed: nothing below it can be in the image. */
  let vanished: string | undefined
  for (const { index, path } of selection.members()) {
    if (vanished !== undefined && path.startsWith(vanished)) continue
    const place = unchanged.place(index)
    if (place !== undefined) yield* pack.range(place.start, place.end - place.start)
    else if ((await changed.peek()) === path) yield* changed.take()
    else vanished = `${path}/`
  }
  // What tar walked by itself comes last.
  while ((await changed.peek()) !== undefined) yield* changed.take()
}
