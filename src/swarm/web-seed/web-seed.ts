// A web server as one more peer: it has every piece, chokes nobody, and is asked for ranges of files.
// Invariant: at most two requests are out, the second one held back by TCP until the first is read, so
// bytes come in one order; whatever goes wrong gives all it owes back to the picker and costs a pause.
// Wrong bytes end it for good. Spec: BEP 19.
import { messageOf, type Clock } from '../../core/core.ts'
import { fileRanges, fileUrl, parseWebSeed, type Metainfo } from '../../torrent/torrent.ts'
import { type PeerKey, type PickingPeer } from '../begun-piece.ts'
import { type Downloader } from '../downloader.ts'
import { createHttpRangeClient, type HttpRangeClient, type RangeBody } from './http-range.ts'
import { Intake, type PayloadCount, type PeerSink } from '../connection/intake.ts'
import { Requester, type RequestPicker } from '../requester.ts'
import { type PeerStats } from '../torrent-handle.ts'
import { isSameRange, type BlockRange } from '../wire/wire.ts'

export interface WebSeedOptions {
  readonly url: string
  /** As no peer has it. */
  readonly key: PeerKey
  readonly metainfo: Metainfo
  readonly picker: RequestPicker
  readonly downloader: Downloader
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onDownloaded: (payload: PayloadCount) => void
  /** Whom work is shared out over, this one included. */
  readonly peerCount: () => number
  readonly canDownload: () => boolean
  /** What it owed may now be asked of others. */
  readonly onGone: () => void
  readonly onNote: (text: string) => void
}

/** One that is read and one that is waiting to be. */
const MAX_REQUESTS = 2

const FIRST_RETRY_MS = 1000
const LONGEST_RETRY_MS = 30_000

const ZEROS = new Uint8Array(64 * 1024)

interface Fetch {
  readonly range: BlockRange
  readonly abort: AbortController
}

/** Part of a file, or of a pad, for which nobody is asked. */
interface Part {
  readonly lengthBytes: number
  readonly open: ((signal: AbortSignal) => Promise<RangeBody>) | undefined
}

export class WebSeed implements PickingPeer {
  readonly key: PeerKey
  /** The URL without user and password. */
  readonly address: string
  isOnParole = false
  downloadedBytes = 0
  readonly #options: WebSeedOptions
  readonly #requester: Requester
  readonly #http: HttpRangeClient
  readonly #fetches = new Set<Fetch>()
  #intake: Intake
  #lastRead: Promise<void> = Promise.resolve()
  #failures = 0
  #retryMs = -Infinity
  #lastReason: string | undefined
  #isClosed = false

  constructor(options: WebSeedOptions) {
    const { picker, downloader, clock, metainfo } = options
    this.#options = options
    this.key = options.key
    const { origin, pathname } = parseWebSeed(options.url)
    this.address = `${origin}${pathname}`
    this.#http = createHttpRangeClient({ maxConnections: MAX_REQUESTS, clock })
    this.#requester = new Requester({
      ...{ peer: this, picker, downloader, clock, pieceLengthBytes: metainfo.pieceLengthBytes },
      request: (range) => this.#request(range),
      cancel: (range) => this.#cancel(range),
    })
    this.#intake = new Intake(this.#sink(), downloader.slab)
  }

  has(): boolean {
    return !this.#isClosed
  }

  get stats(): PeerStats {
    const { address, downloadedBytes } = this
    return {
      ...{ address, client: 'web seed', isServer: true, isUnchoked: false, isChokingUs: false },
      ...{ downloadedBytes, downloadBytesPerSecond: this.#requester.bytesPerSecond },
      ...{ uploadedBytes: 0, uploadBytesPerSecond: 0 },
    }
  }

  /** Asks for as much as it should be owing us now, unless it is pausing. */
  fill(): void {
    const { clock, metainfo, peerCount, canDownload } = this.#options
    if (this.#isClosed || !canDownload() || clock.monotonicMs() < this.#retryMs) return
    this.#requester.fill({
      maxRequestBytes: metainfo.pieceLengthBytes,
      ...{ requestQueue: MAX_REQUESTS, peerCount: peerCount() },
    })
  }

  /** To be called now and then. */
  tick(): void {
    const hasOthers = this.#options.peerCount() > 1
    if (!this.#requester.checkProgress(hasOthers)) this.#fail(new Error('it sends nothing'))
  }

  /** A piece is complete: what is owed of it is not needed. */
  dropPiece(pieceIndex: number): void {
    this.#requester.dropPiece(pieceIndex)
  }

  /** Hangs up for good. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#giveUp()
    this.#http.close()
  }

  #sink(): PeerSink {
    const { downloader, onDownloaded } = this.#options
    return {
      onMessage: () => {},
      onPayloadBegin: (range) => this.#requester.beginPayload(range),
      onBlocks: (blocks) => downloader.receive(blocks, this.key),
      onPayload: (payload) => {
        this.#requester.takePayload(payload.bytes)
        this.downloadedBytes += payload.bytes
        onDownloaded(payload)
        this.fill()
      },
      onPayloadEnd: () => {
        this.#requester.endPayload()
        this.fill()
      },
      onDrained: () => {},
    }
  }

  #request(range: BlockRange): void {
    const place = this.#options.downloader.placeOf(range.pieceIndex)
    if (place !== undefined) this.#intake.expect(range, place)
    const fetch: Fetch = { range, abort: new AbortController() }
    this.#fetches.add(fetch)
    const { signal } = fetch.abort
    const parts = this.#partsOf(range)
    const first = parts[0]?.open?.(signal)
    first?.catch(() => {}) // looked at when its turn comes
    this.#lastRead = this.#lastRead
      .then(() => this.#read(fetch, parts, first))
      .catch((error: unknown) => {
        if (!signal.aborted) this.#fail(error)
      })
      .finally(() => this.#fetches.delete(fetch))
  }

  #partsOf({ pieceIndex, offsetBytes, lengthBytes }: BlockRange): Part[] {
    const { metainfo, url } = this.#options
    const startBytes = pieceIndex * metainfo.pieceLengthBytes + offsetBytes
    return fileRanges(metainfo.files, startBytes, lengthBytes).map((part) => {
      const file = metainfo.files[part.fileIndex]
      if (file === undefined || file.isPad) {
        return { lengthBytes: part.lengthBytes, open: undefined }
      }
      const range = { ...part, url: fileUrl(url, metainfo, file), fileBytes: file.lengthBytes }
      const open = (signal: AbortSignal) => this.#http.open(range, signal)
      return { lengthBytes: part.lengthBytes, open }
    })
  }

  async #read(
    { range, abort }: Fetch,
    parts: readonly Part[],
    first: Promise<RangeBody> | undefined,
  ): Promise<void> {
    const { signal } = abort
    if (signal.aborted) return
    const take = (fragment: Uint8Array) => {
      signal.throwIfAborted()
      this.#intake.onPayload(fragment)
    }
    let body = await first
    signal.throwIfAborted()
    this.#intake.onPayloadBegin(range)
    for (const [index, { lengthBytes, open }] of parts.entries()) {
      if (index > 0) body = await open?.(signal)
      if (open === undefined) takeZeros(lengthBytes, take)
      else await body?.read(take)
      signal.throwIfAborted()
    }
    this.#intake.onPayloadEnd()
    this.#failures = 0
    this.#lastReason = undefined
  }

  #cancel(range: BlockRange): void {
    for (const fetch of this.#fetches) if (isSameRange(fetch.range, range)) fetch.abort.abort()
  }

  /** Nothing more comes for now, perhaps for a while. */
  #fail(error: unknown): void {
    if (this.#isClosed) return
    const { clock, random, onNote, onGone } = this.#options
    const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++)
    this.#retryMs = clock.monotonicMs() + delayMs * (0.75 + random() / 2)
    const reason = messageOf(error)
    // One note until it changes: an origin that is down stays quiet.
    if (reason !== this.#lastReason) onNote(`Web seed ${this.address}: ${reason}`)
    this.#lastReason = reason
    this.#giveUp()
    onGone()
  }

  #giveUp(): void {
    for (const fetch of this.#fetches) fetch.abort.abort()
    this.#requester.giveBackAll()
    this.#intake = new Intake(this.#sink(), this.#options.downloader.slab)
  }
}

function takeZeros(lengthBytes: number, take: (fragment: Uint8Array) => void): void {
  for (let leftBytes = lengthBytes; leftBytes > 0; leftBytes -= ZEROS.length) {
    take(ZEROS.subarray(0, Math.min(leftBytes, ZEROS.length)))
  }
}
