// The piece worker of engine-peer.ts: checks SHA-1 and writes into one file at the piece's place.
import { openSync, writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { digestOf } from '../../src/core/core.ts'
import { servePieces } from '../../src/swarm/swarm.ts'

export interface EngineWorkerData {
  readonly path: string
  readonly pieceLengthBytes: number
  /** SHA-1 of each piece: 20 bytes each. */
  readonly pieceHashes: Uint8Array
}

const { path, pieceLengthBytes, pieceHashes } = workerData as EngineWorkerData
const SHA1_BYTES = 20

/**
 * Of one call. Longer writes make ext4 keep them in folios of 2 MiB; a virtual machine that gives free memory
 * back to its host fetches each of those anew, at eight times the CPU time. Files of images are mostly smaller.
 */
const WRITE_BYTES = 2 ** 20
const fd = openSync(path, 'r+')

servePieces({
  piece(index, bytes) {
    const expected = pieceHashes.subarray(index * SHA1_BYTES, (index + 1) * SHA1_BYTES)
    if (!digestOf('sha1', bytes).equals(expected)) return 'bad'
    for (let done = 0; done < bytes.length;) {
      const at = index * pieceLengthBytes + done
      done += writeSync(fd, bytes, done, Math.min(WRITE_BYTES, bytes.length - done), at)
    }
    return 'ok'
  },
  tasks: { start: () => {} },
})
