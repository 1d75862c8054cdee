// Keeps a torrent announced: tiers of trackers, intervals, events, back-off. Invariant: a dead tracker
// costs nothing but the peers it would have told; the loop never ends by a failure. Spec: BEP 3, 12.
import { messageOf, type Clock } from '../core/core.ts'
import { type Endpoint } from './candidates.ts'
import { sendAnnounce, type Announce, type AnnounceReply } from './tracker-request.ts'

/** What changes from one announce to the next. */
export type AnnounceFacts = Pick<
  Announce,
  'port' | 'uploadedBytes' | 'downloadedBytes' | 'leftBytes' | 'peersWanted'
>

export interface TrackerClientOptions {
  readonly tiers: readonly (readonly string[])[]
  readonly identity: Pick<Announce, 'infoHash' | 'peerId' | 'key' | 'address'>
  readonly facts: () => AnnounceFacts
  readonly onPeers: (peers: readonly Endpoint[]) => void
  readonly clock: Clock
  readonly random: () => number
  /** Replaced in tests. */
  readonly send?: typeof sendAnnounce
}

export interface TrackerClient {
  /** In words for people. */
  readonly status: string
  /** The download is complete: tells the tracker at once. */
  completed(): void
  /** More peers are needed: announces as soon as the tracker allows. */
  hurry(): void
  /** Says good-bye, for two seconds at most. */
  close(): Promise<void>
}

/** A tracker that starts in the same minute as its nodes is found again within seconds. */
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000

/** Bounds on what a tracker may ask of us. */
const SHORTEST_INTERVAL_MS = 1000
const LONGEST_INTERVAL_MS = 3_600_000

/** When the tracker does not say how often it may be asked for more peers. */
const DEFAULT_MIN_INTERVAL_MS = 15_000

const FAREWELL_MS = 2000

export function createTrackerClient(options: TrackerClientOptions): TrackerClient {
  return new TieredClient(options)
}

class TieredClient implements TrackerClient {
  readonly #options: TrackerClientOptions
  readonly #tiers: string[][]
  readonly #abort = new AbortController()
  #status = 'not announced yet'
  #failures = 0
  #isStarted = false
  #mustTellCompleted = false
  #minIntervalMs = DEFAULT_MIN_INTERVAL_MS
  #announcedMs = -Infinity
  #nextMs = 0
  #cancelTimer: (() => void) | undefined
  #busy: Promise<void> | undefined

  constructor(options: TrackerClientOptions) {
    this.#options = options
    this.#tiers = options.tiers.map((tier) => shuffle(tier, options.random))
    if (this.#tiers.flat().length === 0) this.#status = 'no tracker'
    else this.#schedule(0)
  }

  get status(): string {
    return this.#status
  }

  completed(): void {
    this.#mustTellCompleted = this.#isStarted
    if (this.#isStarted && this.#failures === 0) this.#schedule(0)
  }

  hurry(): void {
    const earliestMs = this.#announcedMs + this.#minIntervalMs
    if (!this.#isStarted || this.#failures > 0 || earliestMs >= this.#nextMs) return
    this.#schedule(Math.max(0, earliestMs - this.#options.clock.monotonicMs()))
  }

  async close(): Promise<void> {
    this.#cancelTimer?.()
    this.#abort.abort()
    await this.#busy
    const tracker = this.#tiers[0]?.[0]
    if (!this.#isStarted || tracker === undefined) return
    this.#isStarted = false
    try {
      await this.#send(tracker, 'stopped', AbortSignal.timeout(FAREWELL_MS))
    } catch (error) {
      this.#status = messageOf(error)
    }
  }

  #schedule(delayMs: number): void {
    if (this.#abort.signal.aborted || this.#tiers.length === 0) return
    const { clock } = this.#options
    this.#cancelTimer?.()
    this.#nextMs = clock.monotonicMs() + delayMs
    this.#cancelTimer = clock.schedule(delayMs, () => {
      this.#busy = (this.#busy ?? Promise.resolve()).then(() => this.#round())
    })
  }

  /** Asks the trackers in order of their tiers until one answers, then waits. */
  async #round(): Promise<void> {
    const event = this.#nextEvent()
    let reason = ''
    for (const tier of this.#tiers) {
      for (const tracker of [...tier]) {
        try {
          const reply = await this.#send(tracker, event, this.#abort.signal)
          return this.#succeed({ tier, tracker, event, reply })
        } catch (error) {
          if (this.#abort.signal.aborted) return
          reason = messageOf(error)
        }
      }
    }
    this.#status = reason
    const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++)
    this.#schedule(delayMs * (0.75 + this.#options.random() / 2))
  }

  #nextEvent(): Announce['event'] {
    if (!this.#isStarted) return 'started'
    return this.#mustTellCompleted ? 'completed' : undefined
  }

  #succeed(success: {
    readonly tier: string[]
    readonly tracker: string
    readonly event: Announce['event']
    readonly reply: AnnounceReply
  }): void {
    const { tier, tracker, event, reply } = success
    // BEP 12: one that answered is asked first the next time.
    tier.splice(tier.indexOf(tracker), 1)
    tier.unshift(tracker)
    this.#failures = 0
    this.#isStarted = true
    if (event === 'completed') this.#mustTellCompleted = false
    this.#announcedMs = this.#options.clock.monotonicMs()
    this.#minIntervalMs = reply.minIntervalMs ?? Math.min(DEFAULT_MIN_INTERVAL_MS, reply.intervalMs)
    this.#status = reply.warning ?? `announced to ${tracker}`
    const intervalMs = Math.max(SHORTEST_INTERVAL_MS, reply.intervalMs)
    this.#schedule(this.#mustTellCompleted ? 0 : Math.min(LONGEST_INTERVAL_MS, intervalMs))
    this.#options.onPeers(reply.peers)
  }

  #send(tracker: string, event: Announce['event'], signal: AbortSignal): Promise<AnnounceReply> {
    const send = this.#options.send ?? sendAnnounce
    return send(tracker, { ...this.#options.identity, ...this.#options.facts(), event }, signal)
  }
}

function shuffle(items: readonly string[], random: () => number): string[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ item }) => item)
}
