// A piece store that is read no faster than a bucket allows: the upload limit. Since payload is read,
// or asked for the place of, only when there is room to send it, this is what is sent.
import { type TokenBucket } from '../../throttle/throttle.ts'
import { type PieceStore } from './store.ts'

/** The store behind a bucket; reads that still wait end with ERR_SI_ABORTED when the signal fires. */
export function paceReads(store: PieceStore, bucket: TokenBucket, signal: AbortSignal): PieceStore {
  return {
    async locate(pieceIndex, offset, lengthBytes) {
      const spans = await store.locate(pieceIndex, offset, lengthBytes)
      if (spans !== undefined) await bucket.take(lengthBytes, signal) // else read() does
      return spans
    },
    async read(pieceIndex, offset, into) {
      await bucket.take(into.length, signal)
      await store.read(pieceIndex, offset, into)
    },
    close: () => store.close(),
  }
}
