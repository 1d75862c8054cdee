// How much to ask a peer for at once. Pure but for the times handed in. Enough must be under way that
// the sender never waits for us (rate x delay), but not so much that it could have come from others.
import { BLOCK_BYTES } from '../torrent/torrent.ts'

/** Bytes per second, smoothed over about two seconds. */
export class RateMeter {
  #bytesPerSecond = 0
  #windowStartMs: number
  #windowBytes = 0

  constructor(nowMs: number) {
    this.#windowStartMs = nowMs
  }

  add(bytes: number, nowMs: number): void {
    this.#windowBytes += bytes
    const elapsedMs = nowMs - this.#windowStartMs
    if (elapsedMs >= WINDOW_MS) this.#roll(elapsedMs, nowMs)
  }

  bytesPerSecond(nowMs: number): number {
    const elapsedMs = nowMs - this.#windowStartMs
    if (elapsedMs >= WINDOW_MS) this.#roll(elapsedMs, nowMs)
    return this.#bytesPerSecond
  }

  #roll(elapsedMs: number, nowMs: number): void {
    const current = (this.#windowBytes * 1000) / elapsedMs
    const kept = Math.exp(-elapsedMs / SMOOTHING_MS)
    this.#bytesPerSecond =
      this.#bytesPerSecond === 0 ? current : this.#bytesPerSecond * kept + current * (1 - kept)
    this.#windowBytes = 0
    this.#windowStartMs = nowMs
  }
}

const WINDOW_MS = 100
const SMOOTHING_MS = 1000

/** Under way at any time: what arrives in a quarter of a second, on a LAN hundreds of round trips. */
const PIPELINE_SECONDS = 0.25

/** Clients exist that turn to their requests once or twice a second only: transmission is one. */
const FOREIGN_PIPELINE_SECONDS = 2

/**
 * Before the rate is known, and the least: fills 1 Gbit/s over a round trip of 4 ms. Among many peers each
 * is asked for less, enough for 1 ms: what waits at many senders at once makes every piece late.
 */
const FIRST_PIPELINE_BYTES = 512 * 1024
const MIN_PIPELINE_BYTES = 128 * 1024

/** The most for a peer that is asked for blocks of 16 KiB, if its queue is as long as that. */
const MAX_FOREIGN_PIPELINE_BYTES = 8 * 2 ** 20

/** Ranges are halved towards the end of a download, but not below this. */
const MIN_RANGE_BYTES = 64 * 1024

export interface PipelineInput {
  readonly bytesPerSecond: number
  readonly pieceLengthBytes: number
  /** Largest request the peer serves; 16 KiB for foreign ones. */
  readonly maxRequestBytes: number
  /** Requests it keeps waiting. */
  readonly requestQueue: number
  /** Has not answered for a while: is asked for one block until it does. */
  readonly isSnubbed: boolean
  /** What nobody was asked for yet, shared out over this many peers. */
  readonly unaskedBytes: number
  readonly peerCount: number
}

export interface PipelinePlan {
  /** Requests go out while fewer bytes than this are under way. */
  readonly targetBytes: number
  /** Longest range of one request: a multiple of 16 KiB. */
  readonly rangeBytes: number
}

/** The plan for the next requests to one peer. */
export function planPipeline(input: PipelineInput): PipelinePlan {
  if (input.isSnubbed) return { targetBytes: 1, rangeBytes: BLOCK_BYTES }
  const isForeign = input.maxRequestBytes <= BLOCK_BYTES
  const mostBytes = isForeign
    ? Math.min(MAX_FOREIGN_PIPELINE_BYTES, input.requestQueue * BLOCK_BYTES)
    : Math.max(2 * input.pieceLengthBytes, MIN_PIPELINE_BYTES)
  const seconds = isForeign ? FOREIGN_PIPELINE_SECONDS : PIPELINE_SECONDS
  const firstBytes = isForeign ? FIRST_PIPELINE_BYTES : FIRST_PIPELINE_BYTES / input.peerCount
  const leastBytes = Math.max(MIN_PIPELINE_BYTES, firstBytes)
  const wishedBytes = Math.max(leastBytes, input.bytesPerSecond * seconds)
  const shareBytes = input.unaskedBytes / (2 * Math.max(1, input.peerCount))
  const rangeBytes = Math.min(
    input.maxRequestBytes,
    Math.max(MIN_RANGE_BYTES, Math.min(wishedBytes, shareBytes)),
  )
  return {
    targetBytes: Math.min(mostBytes, wishedBytes),
    rangeBytes: Math.max(BLOCK_BYTES, Math.floor(rangeBytes / BLOCK_BYTES) * BLOCK_BYTES),
  }
}
