// The least time in which a swarm can bring an image to all its nodes, whatever the protocol.
// Source: Kumar and Ross, "Peer-Assisted File Distribution: The Minimum Distribution Time", 2006; the
// pipeline term for whole pieces over equal links is (S/C)(1 + floor(log2 N)/M).
/** Seconds. */
export function fluidLimitSeconds(input) {
    const { sizeBytes, nodeCount, pieceCount, linkBytesPerSecond: rate } = input;
    const oneCopy = sizeBytes / rate;
    const allUploads = (nodeCount * sizeBytes) / (rate + nodeCount * rate);
    const pipeline = oneCopy * (1 + Math.floor(Math.log2(nodeCount)) / pieceCount);
    return Math.max(oneCopy, allUploads, pipeline);
}
