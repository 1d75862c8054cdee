// A volume whose calls are counted and timed, for people who ask how a mount is. Changes nothing of them.
import { type WireName, type WireRequestOf } from '../wire/operations.ts'
import { type Answer, type CallOptions, type Volume } from './volume.ts'

export interface VolumeFigures {
  readonly calls: number
  /** Calls that ended with an errno: a file that is not there counts, too. */
  readonly failures: number
  readonly readBytes: number
  readonly writtenBytes: number
  /** Asked and not answered yet, and what of it is to be written. */
  readonly pendingCalls: number
  readonly pendingBytes: number
  /** Of the last calls; undefined before the first. */
  readonly medianMs: number | undefined
  /** 99 of 100 took no longer. */
  readonly slowMs: number | undefined
}

const KEPT = 1024

export class MeasuredVolume implements Volume {
  readonly ready: Volume['ready']
  readonly #volume: Volume
  readonly #latencies = new Float64Array(KEPT)
  #calls = 0
  #timed = 0
  #failures = 0
  #readBytes = 0
  #writtenBytes = 0
  #pendingCalls = 0
  #pendingBytes = 0

  constructor(volume: Volume) {
    this.#volume = volume
    this.ready = volume.ready
  }

  call<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    options?: CallOptions,
  ): Promise<Answer<Name>> {
    const startedMs = performance.now()
    const sentBytes = sizeOf(options?.data)
    this.#calls += 1
    this.#pendingCalls += 1
    this.#pendingBytes += sentBytes
    const answer = this.#volume.call(name, request, options)
    const ended = () => {
      this.#pendingCalls -= 1
      this.#pendingBytes -= sentBytes
      if (name === 'setLock') return // it waits for others, not for a server
      this.#latencies[this.#timed % KEPT] = performance.now() - startedMs
      this.#timed += 1
    }
    answer.then(
      ({ data }) => {
        ended()
        this.#readBytes += sizeOf(data)
        this.#writtenBytes += sentBytes
      },
      () => {
        ended()
        this.#failures += 1
      },
    )
    return answer
  }

  state(): ReturnType<Volume['state']> {
    return this.#volume.state()
  }

  setPatience(isPatient: boolean): void {
    this.#volume.setPatience(isPatient)
  }

  close(): void {
    this.#volume.close()
  }

  figures(): VolumeFigures {
    const last = this.#latencies.slice(0, Math.min(this.#timed, KEPT)).sort()
    return {
      ...{ calls: this.#calls, failures: this.#failures },
      ...{ readBytes: this.#readBytes, writtenBytes: this.#writtenBytes },
      ...{ pendingCalls: this.#pendingCalls, pendingBytes: this.#pendingBytes },
      medianMs: last[Math.floor(last.length / 2)],
      slowMs: last[Math.floor(last.length * 0.99)],
    }
  }
}

function sizeOf(data: readonly Uint8Array[] = []): number {
  return data.reduce((sum, { length }) => sum + length, 0)
}
