// The requests of one connection: as many are carried out at once as there is memory for, the others wait,
// and behind them the socket. What a request may take is counted from its beginning until its answer has
// left. Invariant: requests begin in the order in which they came.
import { type Frame } from '../wire/frame.ts'
import { answerBytesOf } from '../wire/message.ts'
import { type Room } from './limits.ts'

/** More than slots, so that a cancel gets through when all of them wait for locks. */
const MOST_AT_ONCE = 256
/** Of a request without data: its fields, decoded, and what the runtime keeps for it. */
const BASE_BYTES = 4096

export interface IntakeOptions {
  readonly memory: Room
  /** Settles when the answer has left, or the connection ended. */
  readonly carryOut: (frame: Frame) => Promise<void>
  /** Whether more may be read from the socket. */
  readonly onHunger: (isHungry: boolean) => void
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #waiting: Frame[] = []
  #running = 0
  #isEnded = false
  #stopWaiting: (() => void) | undefined
  #onIdle: (() => void)[] = []

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  take(frames: readonly Frame[]): void {
    if (this.#isEnded) return
    this.#waiting.push(...frames)
    this.#go()
  }

  /** Begins nothing more. */
  end(): void {
    this.#isEnded = true
    this.#waiting.length = 0
    this.#stopWaiting?.()
  }

  /** Settles when all that was begun is over. */
  async idle(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  #go(): void {
    const { memory, onHunger } = this.#options
    this.#stopWaiting?.()
    this.#stopWaiting = undefined
    while (this.#waiting.length > 0 && this.#running < MOST_AT_ONCE && !memory.isFull) {
      const frame = this.#waiting.shift()
      if (frame !== undefined) this.#begin(frame)
    }
    if (this.#isEnded) return
    if (this.#waiting.length > 0 && memory.isFull) {
      this.#stopWaiting = memory.onRoom(() => this.#go())
    }
    onHunger(this.#waiting.length === 0)
  }

  #begin(frame: Frame): void {
    const { memory, carryOut } = this.#options
    const bytes = BASE_BYTES + frame.fields.length + dataBytesOf(frame) + answerBytesOf(frame)
    memory.take(bytes)
    this.#running += 1
    void carryOut(frame).finally(() => {
      this.#running -= 1
      memory.giveBack(bytes)
      if (this.#waiting.length > 0) this.#go()
      if (this.#running === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
    })
  }
}

export function dataBytesOf({ data }: Frame): number {
  return data.reduce((sum, part) => sum + part.length, 0)
}
