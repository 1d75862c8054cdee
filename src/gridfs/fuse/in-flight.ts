// The requests that are being carried out, and how an interrupt finds the one that it is about. Most
// requests end at once and never ask for their signal, so it is made when somebody looks.
import { SiError } from '../../core/core.ts'
import { type Caller } from './file-system.ts'
import { withoutResent, type RequestHeader } from './request.ts'

export class InFlight {
  readonly #calls = new Map<bigint, Call>()

  begin(header: RequestHeader): Call {
    const call = new Call(header)
    this.#calls.set(header.unique, call)
    return call
  }

  /** No interrupt finds it any more; `answered` follows. */
  end(unique: bigint): void {
    this.#calls.delete(unique)
  }

  /** False when no such request is known. */
  interrupt(unique: bigint): boolean {
    const call = this.#calls.get(unique)
    call?.abort()
    return call !== undefined
  }

  abortAll(): void {
    for (const call of this.#calls.values()) call.abort()
  }
}

export class Call implements Caller {
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly isResent: boolean
  readonly unique: bigint
  readonly #onAnswered: (() => void)[] = []
  #controller: AbortController | undefined

  constructor({ uid, gid, pid, isResent, unique }: RequestHeader) {
    this.uid = uid
    this.gid = gid
    this.pid = pid
    this.isResent = isResent
    this.unique = withoutResent(unique)
  }

  onAnswered(callback: () => void): void {
    this.#onAnswered.push(callback)
  }

  answered(): void {
    for (const callback of this.#onAnswered) callback()
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  abort(): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(new SiError('ERR_SI_ABORTED', 'Interrupted by a signal to the caller'))
  }
}
