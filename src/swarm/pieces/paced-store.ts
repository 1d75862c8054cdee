// A piece store that is read no faster than a bucket allows: the upload limit. Since payload is read
// only when there is room to send it, what is read is what is sent.
import { type TokenBucket } from '../../throttle/throttle.ts'
import { type PieceStore } from './store.ts'

/** The store behind a bucket; reads that still wait end with ERR_SI_ABORTED when the signal fires. */
export function paceReads(store: PieceStore, bucket: TokenBucket, signal: AbortSignal): PieceStore {
  return {
    async read(pieceIndex, offset, into) {
      await bucket.take(into.length, signal)
      await store.read(pieceIndex, offset, into)
    },
    close: () => store.close(),
  }
}
