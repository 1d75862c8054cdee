// The slots of a session as the client uses them: each for one request at a time, counted. Who finds none
// free waits; invariant: slots are given in the order in which they were asked for, so that writes leave in
// the order in which programs made them.
import { abortedError } from '../../core/core.ts'

export interface TakenSlot {
  readonly number: number
  readonly sequence: number
  /** The request was answered, or never sent. */
  giveBack(): void
}

export class SlotPool {
  readonly #sequences: number[] = []
  readonly #free: number[] = []
  readonly #waiting: ((number: number) => void)[] = []

  constructor(count: number) {
    this.open(count)
  }

  /** The server has so many. */
  open(count: number): void {
    while (this.#sequences.length < count) {
      this.#sequences.push(0)
      this.#pass(this.#sequences.length - 1)
    }
  }

  async take(signal: AbortSignal | undefined): Promise<TakenSlot> {
    const number = this.#free.pop() ?? (await this.#wait(signal))
    const sequence = (this.#sequences[number] ?? 0) + 1
    this.#sequences[number] = sequence
    let isTaken = true
    return {
      ...{ number, sequence },
      giveBack: () => {
        if (!isTaken) return
        isTaken = false
        this.#pass(number)
      },
    }
  }

  /** To who waits longest: nobody who comes now can be before them. */
  #pass(number: number): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(number)
    else next(number)
  }

  #wait(signal: AbortSignal | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        const index = this.#waiting.indexOf(go)
        if (index >= 0) this.#waiting.splice(index, 1)
        reject(abortedError(signal as AbortSignal))
      }
      const go = (number: number) => {
        signal?.removeEventListener('abort', onAbort)
        resolve(number)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(go)
    })
  }
}
