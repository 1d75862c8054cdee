// The piece worker of engine-peer.ts: checks SHA-1 and writes into one file at the piece's place.
import { openSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { digestOf } from '../../src/core/core.ts'
import { writeFully } from '../../src/deploy/write-fully.ts'
import { servePieces } from '../../src/swarm/swarm.ts'

export interface EngineWorkerData {
  readonly path: string
  readonly pieceLengthBytes: number
  /** SHA-1 of each piece: 20 bytes each. */
  readonly pieceHashes: Uint8Array
}

const { path, pieceLengthBytes, pieceHashes } = workerData as EngineWorkerData
const SHA1_BYTES = 20

const fd = openSync(path, 'r+')

servePieces({
  piece(index, bytes) {
    const expected = pieceHashes.subarray(index * SHA1_BYTES, (index + 1) * SHA1_BYTES)
    if (!digestOf('sha1', bytes).equals(expected)) return 'bad'
    writeFully(fd, bytes, index * pieceLengthBytes)
    return 'ok'
  },
  tasks: { start: () => {} },
})
