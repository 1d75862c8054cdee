// A picker that gives out ranges no faster than a bucket allows: the download limit. What is not asked
// for does not come, so the limit holds for every kind of peer and costs no memory.
import { BLOCK_BYTES } from '../torrent/torrent.ts'
import { type TokenBucket } from '../throttle/throttle.ts'
import { type RequestPicker } from './requester.ts'
import { type BlockRange } from './wire/wire.ts'

/**
 * The picker behind a bucket. A pick that fails for want of tokens looks as if there were nothing to
 * ask for; `onAvailable` is called when there is again. Ranges given back are not credited.
 */
export function pacePicks(
  picker: RequestPicker,
  bucket: TokenBucket,
  onAvailable: () => void,
): RequestPicker {
  let isWaiting = false
  const waitForTokens = () => {
    if (isWaiting) return
    isWaiting = true
    const wakeBytes = Math.min(WAKE_BYTES, bucket.burstBytes)
    bucket.whenAvailable(wakeBytes, () => {
      isWaiting = false
      onAvailable()
    })
  }
  const paced = <R extends BlockRange>(
    maxBytes: number,
    pick: (maxBytes: number) => R | undefined,
  ): R | undefined => {
    const allowedBytes = Math.floor(bucket.availableBytes() / BLOCK_BYTES) * BLOCK_BYTES
    if (allowedBytes === 0) {
      waitForTokens()
      return undefined
    }
    const range = pick(Math.min(maxBytes, allowedBytes))
    if (range !== undefined) bucket.takeNow(range.lengthBytes)
    return range
  }
  return {
    pick: (peer, maxBytes, canBegin) =>
      paced(maxBytes, (bytes) => picker.pick(peer, bytes, canBegin)),
    pickAgain: (peer, maxBytes, isAsked) =>
      paced(maxBytes, (bytes) => picker.pickAgain(peer, bytes, isAsked)),
    // Without tokens no room has to be made for anything.
    canBegin: (peer) => bucket.availableBytes() >= BLOCK_BYTES && picker.canBegin(peer),
    giveBack: (range) => picker.giveBack(range),
    forget: (key) => picker.forget(key),
    get unaskedBytes() {
      return picker.unaskedBytes
    },
  }
}

/** Small enough for an even flow, large enough that not every block wakes everybody. */
const WAKE_BYTES = 64 * 1024
