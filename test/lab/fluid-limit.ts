// The least time in which a swarm can bring an image to all its nodes, whatever the protocol.
// Source: Kumar and Ross, "Peer-Assisted File Distribution: The Minimum Distribution Time", 2006; the
// pipeline term for whole pieces over equal links is (S/C)(1 + floor(log2 N)/M).

export interface FluidLimitInput {
  readonly sizeBytes: number
  readonly nodeCount: number
  readonly pieceCount: number
  /** What each link carries in each direction, the server's as well as the nodes'. */
  readonly linkBytesPerSecond: number
}

/** Seconds, over equal links and in whole pieces. */
export function fluidLimitSeconds(input: FluidLimitInput): number {
  const { sizeBytes, nodeCount, pieceCount, linkBytesPerSecond: rate } = input
  const link = { upBytesPerSecond: rate, downBytesPerSecond: rate }
  const nodes = Array.from({ length: nodeCount }, () => link)
  const pipeline = (sizeBytes / rate) * (1 + Math.floor(Math.log2(nodeCount)) / pieceCount)
  return Math.max(swarmLimitSeconds({ sizeBytes, serverBytesPerSecond: rate, nodes }), pipeline)
}

export interface SwarmLimitInput {
  readonly sizeBytes: number
  readonly serverBytesPerSecond: number
  /** At least one. */
  readonly nodes: readonly {
    readonly upBytesPerSecond: number
    readonly downBytesPerSecond: number
  }[]
}

/** Seconds, over any links and in pieces as small as one likes: max(S/U, S/d_min, N S/(U + sum of u)). */
export function swarmLimitSeconds(input: SwarmLimitInput): number {
  const { sizeBytes, serverBytesPerSecond, nodes } = input
  const slowest = Math.min(...nodes.map(({ downBytesPerSecond }) => downBytesPerSecond))
  const uploads = nodes.reduce((sum, node) => sum + node.upBytesPerSecond, serverBytesPerSecond)
  return Math.max(
    sizeBytes / serverBytesPerSecond,
    sizeBytes / slowest,
    (nodes.length * sizeBytes) / uploads,
  )
}
