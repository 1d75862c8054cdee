// When the nodes of a fluid run come: all at once, one after the other over the time of one copy, or
// nine tenths at once and the last tenth when half of that time is over.

export const ARRIVALS = ['all', 'staggered', 'late'] as const
export type Arrival = (typeof ARRIVALS)[number]

const LATE_SHARE = 0.1

/** For each node, seconds after the first; `copySeconds` is the time of one copy over one link. */
export function arrivalSeconds(
  arrival: Arrival,
  nodeCount: number,
  copySeconds: number,
): readonly number[] {
  const nodes = Array.from({ length: nodeCount }, (_, index) => index)
  switch (arrival) {
    case 'all':
      return nodes.map(() => 0)
    case 'staggered':
      return nodes.map((index) => (index * copySeconds) / nodeCount)
    case 'late': {
      const punctual = nodeCount - Math.ceil(nodeCount * LATE_SHARE)
      return nodes.map((index) => (index < punctual ? 0 : copySeconds / 2))
    }
    default:
      return arrival satisfies never
  }
}
