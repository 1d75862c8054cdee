// The slots of a session as the client uses them: each for one request at a time, counted. Who finds none
// free waits in turn.
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
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.open(count)
  }

  /** The server has so many. */
  open(count: number): void {
    while (this.#sequences.length < count) {
      this.#free.push(this.#sequences.length)
      this.#sequences.push(0)
    }
    while (this.#free.length > 0 && this.#waiting.length > 0) this.#waiting.shift()?.()
  }

  async take(signal: AbortSignal | undefined): Promise<TakenSlot> {
    while (this.#free.length === 0) await this.#wait(signal)
    const number = this.#free.pop() ?? 0
    const sequence = (this.#sequences[number] ?? 0) + 1
    this.#sequences[number] = sequence
    let isTaken = true
    return {
      ...{ number, sequence },
      giveBack: () => {
        if (!isTaken) return
        isTaken = false
        this.#free.push(number)
        this.#waiting.shift()?.()
      },
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        const index = this.#waiting.indexOf(go)
        if (index >= 0) this.#waiting.splice(index, 1)
        reject(abortedError(signal as AbortSignal))
      }
      const go = () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(go)
    })
  }
}
