// Receives what a read through Node has left in the socket: the payload of long piece messages straight into
// its place, without a copy, the rest through a buffer. Invariant: it takes what has come and waits for
// nothing; the end of a connection is left for Node to find, an error ends it here.
import { type Socket } from 'node:net'
import { receivableBytes, receive } from '../../host/host.ts'
import { PIECE_HEAD_BYTES, type WireDecoder } from '../wire/wire.ts'
import { type Intake } from './intake.ts'
import { descriptorOf } from './socket-descriptor.ts'
import { TurnBudget } from './turn-budget.ts'

/** One per thread: what is received is decoded at once. Fits the second-level cache. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024)

export interface DrainOptions {
  readonly socket: Socket
  readonly decoder: WireDecoder
  readonly intake: Intake
  /** Nothing is to be received any more, or for now. */
  readonly isStopped: () => boolean
  /** Whether bytes must go through `decode`, as they are encrypted. */
  readonly isCiphering: () => boolean
  /** Takes bytes as they came. */
  readonly decode: (bytes: Uint8Array) => void
}

export class Drain {
  readonly #options: DrainOptions
  readonly #budget = new TurnBudget()
  /** A long payload has just ended: what follows is most likely the head of the next. */
  #expectsHead = false

  constructor(options: DrainOptions) {
    this.#options = options
  }

  /** Receives all that has come, but no more than one connection may have of a turn. Throws a SystemError. */
  run(): void {
    const { socket, isStopped } = this.#options
    const first = descriptorOf(socket)
    let leftBytes = first === undefined ? 0 : receivableBytes(first)
    while (leftBytes > 0 && !this.#budget.isSpent && !isStopped()) {
      const fd = descriptorOf(socket)
      const bytes = fd === undefined ? 0 : this.#receive(fd, leftBytes)
      if (bytes === 0) return
      this.#budget.spend(bytes)
      leftBytes -= bytes
    }
  }

  /** Bytes received; 0 at the end, or when nothing is there. */
  #receive(fd: number, mostBytes: number): number {
    const { decoder, intake, isCiphering } = this.#options
    const place = isCiphering() ? undefined : intake.place(mostBytes)
    if (place === undefined) return this.#receiveBuffered(fd, mostBytes)
    let bytes = 0
    try {
      bytes = receive(fd, place) ?? 0
    } finally {
      intake.placed(bytes)
    }
    decoder.passPayload(bytes)
    this.#expectsHead = decoder.payloadLeftBytes === 0
    return bytes
  }

  #receiveBuffered(fd: number, mostBytes: number): number {
    const most = this.#expectsHead ? PIECE_HEAD_BYTES : buffer.length
    this.#expectsHead = false
    const bytes = receive(fd, buffer.subarray(0, Math.min(most, mostBytes))) ?? 0
    if (bytes > 0) this.#options.decode(buffer.subarray(0, bytes))
    return bytes
  }
}
