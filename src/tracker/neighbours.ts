// Which peers of a swarm an asker is told about. Pure but for the random numbers handed in. Invariant:
// whatever the racks, a third of an answer (two at least) comes from outside the asker's rack as long as
// there is anybody there: preferring the rack without that guarantee starves whole racks (kraken#244).
import { shuffle } from '../core/core.ts'

export interface NeighbourCandidate {
  /** Name of the rack that the peer announced; undefined belongs to no rack, not to a common one. */
  readonly rack: string | undefined
  /** It has all pieces and wants none. */
  readonly isComplete: boolean
}

export interface NeighbourOptions {
  /** The most to choose. */
  readonly count: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Of every answer this part comes from outside the rack, rounded up. */
const OUTSIDE_SHARE = 1 / 3

/** Two random links out of every node keep the racks connected, and short the way between any two. */
const MIN_OUTSIDE = 2

/**
 * Up to `count` of `candidates`, in random order: from the asker's rack as many as the share outside
 * leaves, the rest from elsewhere; where one side is short the other fills in. Complete peers are not
 * told about each other. The asker must not be among the candidates. O(candidates).
 */
export function chooseNeighbours<T extends NeighbourCandidate>(
  candidates: readonly T[],
  asker: NeighbourCandidate,
  options: NeighbourOptions,
): readonly T[] {
  const count = Math.max(0, Math.floor(options.count))
  const inside = new Sample<T>(count, options.random)
  const outside = new Sample<T>(count, options.random)
  for (const candidate of candidates) {
    if (asker.isComplete && candidate.isComplete) continue
    const isNear = asker.rack !== undefined && candidate.rack === asker.rack
    if (isNear) inside.offer(candidate)
    else outside.offer(candidate)
  }
  const near = inside.take()
  const far = outside.take()
  const share = Math.min(count, Math.max(MIN_OUTSIDE, Math.ceil(count * OUTSIDE_SHARE)))
  const chosen = far.slice(0, Math.max(share, count - near.length))
  chosen.push(...near.slice(0, count - chosen.length))
  return shuffle(chosen, options.random)
}

/** At most `size` of the items offered, each with the same chance (Vitter's algorithm R). */
class Sample<T> {
  readonly #items: T[] = []
  readonly #size: number
  readonly #random: () => number
  #offered = 0

  constructor(size: number, random: () => number) {
    this.#size = size
    this.#random = random
  }

  offer(item: T): void {
    this.#offered++
    if (this.#items.length < this.#size) {
      this.#items.push(item)
      return
    }
    const place = Math.floor(this.#random() * this.#offered)
    if (place < this.#size) this.#items[place] = item
  }

  /** In random order, so that the first few are a fair sample, too. */
  take(): T[] {
    return shuffle(this.#items, this.#random)
  }
}
