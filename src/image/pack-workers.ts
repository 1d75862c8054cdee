// The threads that hash and compress. Invariant: each has at most two tasks at a time, so that it never
// idles while a message travels and never hoards work another could do; replies come in task order.
// Pieces go before windows: they free the buffers that finished windows wait for.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { SiError } from '../core/core.ts'
import type { WindowMemory } from './pack-window.ts'

export interface PackWorkerData {
  readonly windows: readonly WindowMemory[]
  readonly pieces: readonly SharedArrayBuffer[]
  readonly zstdLevel: number
}

export type PackTask =
  | { readonly kind: 'window'; readonly index: number; readonly chunkCount: number }
  | { readonly kind: 'piece'; readonly index: number; readonly lengthBytes: number }

export type PackReply =
  | { readonly kind: 'window' }
  | { readonly kind: 'piece'; readonly sha1: Uint8Array; readonly sha256: Uint8Array }
  | { readonly kind: 'error'; readonly message: string }

interface QueuedTask {
  readonly task: PackTask
  readonly reply: PromiseWithResolvers<PackReply>
}

interface Thread {
  readonly worker: Worker
  readonly running: QueuedTask[]
}

const TASKS_PER_THREAD = 2

/** Compiled or not, the entry has the same extension as this file. */
const ENTRY = new URL(`./pack-worker${extname(import.meta.url)}`, import.meta.url)

export class PackWorkers {
  readonly #threads: readonly Thread[]
  readonly #queue: QueuedTask[] = []
  readonly #onFailure: (error: unknown) => void
  #failure: { readonly error: unknown } | undefined

  /** `onFailure` hears once of a thread that died or failed. */
  constructor(threads: number, data: PackWorkerData, onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure
    this.#threads = Array.from({ length: threads }, () => this.#start(data))
  }

  /** Rejects with ERR_SI_INTERNAL when the thread fails, or with the error given to fail(). */
  run(task: PackTask): Promise<PackReply> {
    const reply = Promise.withResolvers<PackReply>()
    if (this.#failure !== undefined) reply.reject(this.#failure.error)
    else if (task.kind === 'piece') this.#queue.unshift({ task, reply })
    else this.#queue.push({ task, reply })
    this.#dispatch()
    return reply.promise
  }

  fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = { error }
    const open = [...this.#queue.splice(0), ...this.#threads.flatMap((t) => t.running.splice(0))]
    for (const { reply } of open) reply.reject(error)
    this.#onFailure(error)
  }

  async close(): Promise<void> {
    this.#failure ??= { error: new SiError('ERR_SI_INTERNAL', 'Pack threads are closed') }
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  #start(data: PackWorkerData): Thread {
    const worker = new Worker(ENTRY, { workerData: data, name: 'pack' })
    const thread: Thread = { worker, running: [] }
    worker.on('message', (reply: PackReply) => this.#onReply(thread, reply))
    worker.on('error', (error) => this.fail(threadFailed(error.message, error)))
    worker.on('exit', (code) => this.fail(threadFailed(`it ended with status ${code}`)))
    return thread
  }

  #onReply(thread: Thread, reply: PackReply): void {
    const done = thread.running.shift()
    if (reply.kind === 'error') {
      const error = threadFailed(reply.message)
      done?.reply.reject(error)
      this.fail(error)
      return
    }
    done?.reply.resolve(reply)
    this.#dispatch()
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = this.#threads.reduce((a, b) => (b.running.length < a.running.length ? b : a))
      if (thread.running.length >= TASKS_PER_THREAD) return
      const next = this.#queue.shift()
      if (next === undefined) return
      thread.running.push(next)
      thread.worker.postMessage(next.task)
    }
  }
}

function threadFailed(reason: string, cause?: unknown): SiError {
  return new SiError('ERR_SI_INTERNAL', `A compressing thread failed: ${reason}`, { cause })
}
