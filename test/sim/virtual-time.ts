// Virtual time: it stands still while anything happens, and jumps to the next event when nothing does.
// Invariant: time goes on only after all callbacks and promises of the present moment have been dealt
// with, so code written for Node's event loop runs here as it is.
import { type Clock } from '../../src/core/core.ts'
import { EventQueue, type QueuedEvent } from './event-queue.ts'

export class VirtualTime implements Clock {
  readonly #queue = new EventQueue()
  readonly #onMomentEnds: (() => void)[] = []
  #nowMs = 0
  #hasPromises = false
  #events = 0

  monotonicMs(): number {
    return this.#nowMs
  }

  now(): Date {
    return new Date(this.#nowMs)
  }

  /** What is called back may make promises. */
  schedule(delayMs: number, callback: () => void): () => void {
    const event = this.after(Math.max(0, delayMs), () => {
      this.#hasPromises = true
      callback()
    })
    return () => (event.run = undefined)
  }

  /** As schedule, for callbacks that make no promises, or say so. */
  after(delayMs: number, callback: () => void): QueuedEvent {
    return this.#queue.push(this.#nowMs + delayMs, callback)
  }

  /** As after, cheaper for a delay that is always the same. */
  later(delayMs: number, callback: () => void): void {
    this.#queue.append(this.#nowMs + delayMs, callback)
  }

  /** At a time that is not past. */
  at(atMs: number, callback: () => void): QueuedEvent {
    return this.#queue.push(atMs, callback)
  }

  /** Someone may now wait for a promise: it is to be settled before time goes on. */
  expectPromises(): void {
    this.#hasPromises = true
  }

  /** Calls back each time that all of a moment has happened, just before time goes on. */
  onMomentEnds(callback: () => void): void {
    this.#onMomentEnds.push(callback)
  }

  /** Events run so far. */
  get events(): number {
    return this.#events
  }

  /** Lets time pass until `isOver`, `untilMs`, or until nothing is left to happen. */
  async run(isOver: () => boolean, untilMs = Infinity): Promise<void> {
    while (!isOver()) {
      this.#runMoment()
      if (this.#hasPromises) {
        this.#hasPromises = false
        await allPromises()
      } else if (this.#queue.nextMs > this.#nowMs) {
        for (const callback of this.#onMomentEnds) callback()
        const nextMs = this.#queue.nextMs
        if (nextMs > untilMs || nextMs === Infinity) return
        this.#nowMs = nextMs
      }
    }
  }

  /** All events of this very moment, those that they bring about included. */
  #runMoment(): void {
    while (this.#queue.nextMs <= this.#nowMs) {
      const run = this.#queue.pop()?.run
      if (run === undefined) continue // cancelled
      this.#events++
      run()
    }
  }
}

/** Node takes the next tick only when no promise is left that could go on: cheaper than a whole turn. */
function allPromises(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}
