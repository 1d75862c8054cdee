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
  /** By number; 0 for one that was never used. */
  readonly #sequences: number[] = []
  readonly #free: number[] = []
  readonly #held = new Set<number>()
  readonly #waiting: ((number: number) => void)[] = []
  #count = 0

  /** What earlier processes have used; what they were not answered is nobody else's until `retake`. */
  constructor(
    used: readonly {
      readonly number: number
      readonly sequence: number
      readonly isUnanswered: boolean
    }[],
  ) {
    for (const { number, sequence, isUnanswered } of used) {
      this.#sequences[number] = sequence
      if (isUnanswered) this.#held.add(number)
    }
  }

  /** The server has so many. */
  open(count: number): void {
    while (this.#count < count) {
      const number = this.#count
      this.#count += 1
      if (!this.#held.has(number)) this.#pass(number)
    }
  }

  /** Whether `take` gives one at once. */
  get hasFree(): boolean {
    return this.#free.length > 0
  }

  async take(signal: AbortSignal | undefined): Promise<TakenSlot> {
    const number = this.#free.pop() ?? (await this.#wait(signal))
    const sequence = (this.#sequences[number] ?? 0) + 1
    this.#sequences[number] = sequence
    return this.#taken(number, sequence)
  }

  /** Goes on with what an earlier process has used a slot for. */
  retake(number: number): TakenSlot {
    return this.#taken(number, this.#sequences[number] ?? 0)
  }

  #taken(number: number, sequence: number): TakenSlot {
    let isTaken = true
    return {
      ...{ number, sequence },
      giveBack: () => {
        if (!isTaken) return
        isTaken = false
        this.#held.delete(number)
        this.#pass(number)
      },
    }
  }

  /** To who waits longest: nobody who comes now can be before them. */
  #pass(number: number): void {
    if (number >= this.#count) return // `open` will find it
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
