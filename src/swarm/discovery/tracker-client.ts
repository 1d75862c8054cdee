// Keeps a torrent announced: tiers of trackers, intervals, events, back-off. Invariant: a dead tracker
// costs nothing but the peers it would have told; the loop never ends by a failure. Spec: BEP 3, 12.
import { messageOf, shuffle, type Clock } from '../../core/core.ts'
import { type Endpoint } from './candidates.ts'
import {
  sendAnnounce,
  type Announce,
  type AnnounceReply,
  type SendAnnounce,
} from './tracker-request.ts'

/** What changes from one announce to the next. */
export type AnnounceFacts = Pick<
  Announce,
  'port' | 'uploadedBytes' | 'downloadedBytes' | 'leftBytes' | 'peersWanted'
>

export interface TrackerClientOptions {
  readonly tiers: readonly (readonly string[])[]
  readonly identity: Pick<Announce, 'infoHash' | 'peerId' | 'key' | 'address' | 'rack'>
  readonly facts: () => AnnounceFacts
  readonly onPeers: (peers: readonly Endpoint[]) => void
  readonly clock: Clock
  readonly random: () => number
  /** Replaced in tests. */
  readonly send?: SendAnnounce
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

/** A tracker that failed while another answered is left alone: its silence may cost ten seconds. */
const FIRST_ASIDE_MS = 20_000
const LONGEST_ASIDE_MS = 600_000

export function createTrackerClient(options: TrackerClientOptions): TrackerClient {
  return new TieredClient(options)
}

interface Tracker {
  readonly url: string
  /** It knows us: the next announce is a regular one. */
  isStarted: boolean
  /** In a row. */
  failures: number
  asideUntilMs: number
}

class TieredClient implements TrackerClient {
  readonly #options: TrackerClientOptions
  readonly #tiers: Tracker[][]
  readonly #abort = new AbortController()
  #status = 'not announced yet'
  #failures = 0
  /** The one that answered last. */
  #current: Tracker | undefined
  #mustTellCompleted = false
  #minIntervalMs = DEFAULT_MIN_INTERVAL_MS
  #announcedMs = -Infinity
  #nextMs = 0
  #cancelTimer: (() => void) | undefined
  #busy: Promise<void> | undefined

  constructor(options: TrackerClientOptions) {
    this.#options = options
    this.#tiers = options.tiers.map((tier) =>
      shuffle([...tier], options.random).map((url) => ({
        ...{ url, isStarted: false, failures: 0, asideUntilMs: -Infinity },
      })),
    )
    if (this.#tiers.flat().length === 0) this.#status = 'no tracker'
    else this.#schedule(0)
  }

  get status(): string {
    return this.#status
  }

  completed(): void {
    this.#mustTellCompleted = this.#current !== undefined
    if (this.#mustTellCompleted && this.#failures === 0) this.#schedule(0)
  }

  hurry(): void {
    const earliestMs = this.#announcedMs + this.#minIntervalMs
    if (this.#current === undefined || this.#failures > 0 || earliestMs >= this.#nextMs) return
    this.#schedule(Math.max(0, earliestMs - this.#options.clock.monotonicMs()))
  }

  async close(): Promise<void> {
    this.#cancelTimer?.()
    this.#abort.abort()
    await this.#busy
    const tracker = this.#current
    this.#current = undefined
    if (tracker === undefined) return
    try {
      await this.#send(tracker, 'stopped', AbortSignal.timeout(FAREWELL_MS))
    } catch (error) {
      this.#status = messageOf(error)
    }
  }

  #schedule(delayMs: number): void {
    if (this.#abort.signal.aborted || this.#tiers.flat().length === 0) return
    const { clock } = this.#options
    this.#cancelTimer?.()
    this.#nextMs = clock.monotonicMs() + delayMs
    this.#cancelTimer = clock.schedule(delayMs, () => {
      this.#busy = (this.#busy ?? Promise.resolve()).then(() => this.#round())
    })
  }

  /** Asks the trackers in order of their tiers until one answers, then waits. */
  async #round(): Promise<void> {
    const failed: Tracker[] = []
    let reason = ''
    for (const tracker of this.#trackersToAsk()) {
      const event = this.#eventFor(tracker)
      try {
        const reply = await this.#send(tracker, event, this.#abort.signal)
        this.#putAside(failed)
        return this.#succeed({ tracker, event, reply })
      } catch (error) {
        if (this.#abort.signal.aborted) return
        tracker.failures++
        failed.push(tracker)
        reason = messageOf(error)
      }
    }
    this.#status = reason
    const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++)
    this.#schedule(delayMs * (0.75 + this.#options.random() / 2))
  }

  /** While none answers, all are asked. */
  #trackersToAsk(): readonly Tracker[] {
    const nowMs = this.#options.clock.monotonicMs()
    const all = this.#tiers.flat()
    const isFailing = this.#failures > 0
    const ready = all.filter(({ asideUntilMs }) => isFailing || asideUntilMs <= nowMs)
    return ready.length > 0 ? ready : all
  }

  #putAside(failed: readonly Tracker[]): void {
    const nowMs = this.#options.clock.monotonicMs()
    for (const tracker of failed) {
      const delayMs = Math.min(LONGEST_ASIDE_MS, FIRST_ASIDE_MS * 2 ** (tracker.failures - 1))
      tracker.asideUntilMs = nowMs + delayMs
    }
  }

  #eventFor(tracker: Tracker): Announce['event'] {
    if (!tracker.isStarted) return 'started'
    return this.#mustTellCompleted ? 'completed' : undefined
  }

  #succeed(success: {
    readonly tracker: Tracker
    readonly event: Announce['event']
    readonly reply: AnnounceReply
  }): void {
    const { tracker, event, reply } = success
    // BEP 12: one that answered is asked first of its tier the next time.
    for (const tier of this.#tiers)
      tier.sort((a, b) => Number(b === tracker) - Number(a === tracker))
    this.#failures = 0
    this.#current = tracker
    tracker.isStarted = true
    tracker.failures = 0
    if (event === 'completed') this.#mustTellCompleted = false
    this.#announcedMs = this.#options.clock.monotonicMs()
    this.#minIntervalMs = reply.minIntervalMs ?? Math.min(DEFAULT_MIN_INTERVAL_MS, reply.intervalMs)
    this.#status = reply.warning ?? `announced to ${tracker.url}`
    const intervalMs = Math.max(SHORTEST_INTERVAL_MS, reply.intervalMs)
    this.#schedule(this.#mustTellCompleted ? 0 : Math.min(LONGEST_INTERVAL_MS, intervalMs))
    this.#options.onPeers(reply.peers)
  }

  #send(tracker: Tracker, event: Announce['event'], signal: AbortSignal): Promise<AnnounceReply> {
    const send = this.#options.send ?? sendAnnounce
    const announce = { ...this.#options.identity, ...this.#options.facts(), event }
    return send(tracker.url, announce, signal)
  }
}
