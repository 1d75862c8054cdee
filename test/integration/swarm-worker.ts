// The piece worker of the swarm tests: checks SHA-1 and writes into one file at the piece's place.
import { createHash } from 'node:crypto'
import { openSync, writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { SiError } from '../../src/core/core.ts'
import { servePieces } from '../../src/swarm/swarm.ts'

export interface TestWorkerData {
  readonly path: string
  readonly pieceLengthBytes: number
  readonly pieceHashes: Uint8Array
  /** Every piece takes this long, as on a slow disk. */
  readonly delayMs: number
  /** Writing this piece fails. */
  readonly brokenPiece: number
  /** At this piece the thread dies. */
  readonly fatalPiece: number
}

const data = workerData as TestWorkerData
const fd = openSync(data.path, 'r+')

servePieces({
  piece(index, bytes) {
    if (index === data.fatalPiece) process.exit(3)
    if (index === data.brokenPiece) {
      throw new SiError('ERR_SI_TARGET_FULL', 'Cannot write: disk full', { hint: 'Make room' })
    }
    const expected = Buffer.from(data.pieceHashes).subarray(index * 20, index * 20 + 20)
    if (!createHash('sha1').update(bytes).digest().equals(expected)) return 'bad'
    if (data.delayMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, data.delayMs)
    writeSync(fd, bytes, 0, bytes.length, index * data.pieceLengthBytes)
    return 'ok'
  },
  tasks: {
    double: (payload) => Number(payload) * 2,
    fail: () => {
      throw new SiError('ERR_SI_DEPLOY', 'Cannot do it', { hint: 'Do something else' })
    },
    data: () => data.path,
  },
})
