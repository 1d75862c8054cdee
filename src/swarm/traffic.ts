// How much payload a torrent has moved, and how fast it does now.
import { type Clock } from '../core/core.ts'
import { type PayloadCount } from './connection/intake.ts'
import { RateMeter } from './pipeline.ts'
import { type TorrentStats } from './torrent-handle.ts'

export type TrafficFigures = Pick<
  TorrentStats,
  | 'downloadedBytes'
  | 'uploadedBytes'
  | 'fromServerBytes'
  | 'fromPeersBytes'
  | 'wastedBytes'
  | 'downloadBytesPerSecond'
  | 'uploadBytesPerSecond'
>

export class Traffic {
  readonly #clock: Clock
  readonly #downloadMeter: RateMeter
  readonly #uploadMeter: RateMeter
  #downloadedBytes = 0
  #uploadedBytes = 0
  #fromServerBytes = 0
  #fromPeersBytes = 0
  #wastedBytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#downloadMeter = new RateMeter(clock.monotonicMs())
    this.#uploadMeter = new RateMeter(clock.monotonicMs())
  }

  received({ bytes, usedBytes, wastedBytes }: PayloadCount, isFromServer: boolean): void {
    this.#downloadedBytes += bytes
    this.#wastedBytes += wastedBytes
    if (isFromServer) this.#fromServerBytes += usedBytes
    else this.#fromPeersBytes += usedBytes
    this.#downloadMeter.add(usedBytes, this.#clock.monotonicMs())
  }

  sent(bytes: number): void {
    this.#uploadedBytes += bytes
    this.#uploadMeter.add(bytes, this.#clock.monotonicMs())
  }

  get figures(): TrafficFigures {
    const nowMs = this.#clock.monotonicMs()
    return {
      downloadedBytes: this.#downloadedBytes,
      uploadedBytes: this.#uploadedBytes,
      fromServerBytes: this.#fromServerBytes,
      fromPeersBytes: this.#fromPeersBytes,
      wastedBytes: this.#wastedBytes,
      downloadBytesPerSecond: this.#downloadMeter.bytesPerSecond(nowMs),
      uploadBytesPerSecond: this.#uploadMeter.bytesPerSecond(nowMs),
    }
  }
}
