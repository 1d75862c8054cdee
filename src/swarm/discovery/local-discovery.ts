// Finding peers on the same network by calling into it: works when no tracker does. Invariant: calls are
// few however many peers there are. Each calls at the start and every five minutes; whoever hears a
// newcomer answers after a random pause, unless enough others have. Our own calls are known by a cookie.
// One per swarm, for all its torrents that are not private. Spec: BEP 14.
import { type Clock } from '../../core/core.ts'
import { type InfoHash } from '../../torrent/torrent.ts'
import { type Endpoint } from './candidates.ts'
import { decodeLocalSearch, encodeLocalSearch } from './local-search-message.ts'
import { openMulticast, type Multicast } from './multicast.ts'

export interface LocalDiscoveryOptions {
  /** Where the swarm listens. */
  readonly host: string
  readonly listenPort: number
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onNote: (text: string) => void
  /** Replaced in tests. */
  readonly open?: typeof openMulticast
}

export interface LocalDiscovery {
  /**
   * Calls for peers of this torrent from now on. `onPeer` is told each that is heard and returns
   * whether it is news. The returned object ends it.
   */
  join(infoHash: InfoHash, onPeer: (endpoint: Endpoint) => boolean): LocalMembership
  /** Idempotent. */
  close(): Promise<void>
}

export interface LocalMembership {
  /** More peers are needed: calls again, if the last time was a minute ago. */
  hurry(): void
  leave(): void
}

const GROUPS = { IPv4: '239.192.152.143', IPv6: 'ff15::efc0:988f' } as const
const GROUP_PORT = 6771

const TICK_MS = 500
const INTERVAL_MS = 300_000
const HURRY_INTERVAL_MS = 60_000

/** The first call may get lost while switches learn where we are: it is made twice. */
const REPEAT_MS = 2000

/** Between two calls for one torrent, whatever they are for. */
const MIN_GAP_MS = 5000

/** Answers wait for up to this long, and are left out when so many others have answered meanwhile. */
const ANSWER_WITHIN_MS = 1500
const ENOUGH_ANSWERS = 8

/** Calls that leave at once; a server of a thousand images takes a while. */
const MAX_CALLS_PER_TICK = 20

/** Datagrams read per tick: more are no search party but a flood. */
const MAX_HEARD_PER_TICK = 500

interface Call {
  readonly infoHash: InfoHash
  readonly onPeer: (endpoint: Endpoint) => boolean
  calledMs: number
  nextMs: number
  repeats: number
  /** Calls heard since the last newcomer: answers to it, as far as we can know. */
  heardSince: number
  /** Set while an answer waits. */
  cancelAnswer: (() => void) | undefined
}

/** Opens the sockets; where that fails it is noted, and nobody is found. */
export async function createLocalDiscovery(
  options: LocalDiscoveryOptions,
): Promise<LocalDiscovery> {
  const discovery = new CallingDiscovery(options)
  await discovery.open()
  return discovery
}

class CallingDiscovery implements LocalDiscovery {
  readonly #options: LocalDiscoveryOptions
  readonly #calls = new Map<InfoHash, Call>()
  readonly #cookie: string
  #multicast: Multicast | undefined
  #heardInTick = 0
  #cancelTick: () => void = () => {}

  constructor(options: LocalDiscoveryOptions) {
    this.#options = options
    this.#cookie = Math.floor(options.random() * 2 ** 32).toString(16)
  }

  async open(): Promise<void> {
    const { host, onNote, open = openMulticast } = this.#options
    this.#multicast = await open({
      ...{ groups: GROUPS, port: GROUP_PORT, host, onNote },
      onDatagram: (datagram, source) => this.#hear(datagram, source),
    })
    this.#tick()
  }

  join(infoHash: InfoHash, onPeer: (endpoint: Endpoint) => boolean): LocalMembership {
    const call: Call = {
      ...{ infoHash, onPeer, calledMs: -Infinity, nextMs: this.#options.clock.monotonicMs() },
      ...{ repeats: 1, heardSince: 0, cancelAnswer: undefined },
    }
    this.#calls.set(infoHash, call)
    return {
      hurry: () => (call.nextMs = Math.min(call.nextMs, call.calledMs + HURRY_INTERVAL_MS)),
      leave: () => {
        call.cancelAnswer?.()
        this.#calls.delete(infoHash)
      },
    }
  }

  async close(): Promise<void> {
    this.#cancelTick()
    for (const call of this.#calls.values()) call.cancelAnswer?.()
    this.#calls.clear()
    await this.#multicast?.close()
  }

  #tick(): void {
    const { clock } = this.#options
    this.#cancelTick = clock.schedule(TICK_MS, () => this.#tick())
    this.#heardInTick = 0
    const nowMs = clock.monotonicMs()
    const due = [...this.#calls.values()].filter(({ nextMs }) => nextMs <= nowMs)
    for (const call of due.slice(0, MAX_CALLS_PER_TICK)) {
      const isRepeated = call.repeats-- > 0
      const delayMs = isRepeated ? REPEAT_MS : INTERVAL_MS * (0.9 + this.#options.random() / 5)
      call.nextMs = nowMs + delayMs
      this.#send(call)
    }
  }

  #send(call: Call): void {
    const { listenPort, clock } = this.#options
    const search = { port: listenPort, infoHashes: [call.infoHash], cookie: this.#cookie }
    this.#multicast?.send((groupHost) => encodeLocalSearch(search, groupHost))
    this.#dropAnswer(call)
    call.calledMs = clock.monotonicMs()
  }

  #hear(datagram: Buffer, source: string): void {
    if (++this.#heardInTick > MAX_HEARD_PER_TICK) return
    const search = decodeLocalSearch(datagram)
    if (search === undefined || search.cookie === this.#cookie) return
    for (const infoHash of search.infoHashes) {
      const call = this.#calls.get(infoHash)
      if (call === undefined) continue
      call.heardSince++
      if (call.onPeer({ host: source, port: search.port })) this.#planAnswer(call)
      else if (call.heardSince >= ENOUGH_ANSWERS) this.#dropAnswer(call)
    }
  }

  /** A newcomer called: it shall hear of us, or of enough others. */
  #planAnswer(call: Call): void {
    const { clock, random } = this.#options
    call.heardSince = 0
    if (call.cancelAnswer !== undefined) return
    const gapMs = Math.max(0, call.calledMs + MIN_GAP_MS - clock.monotonicMs())
    const delayMs = gapMs + random() * ANSWER_WITHIN_MS
    call.cancelAnswer = clock.schedule(delayMs, () => this.#send(call))
  }

  #dropAnswer(call: Call): void {
    call.cancelAnswer?.()
    call.cancelAnswer = undefined
  }
}
