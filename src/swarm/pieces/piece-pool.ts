// The threads that check and write pieces, seen from the network thread. Invariant: every job given in
// is settled exactly once, by its worker's answer, by the worker's death or by close().
import { Worker } from 'node:worker_threads'
import { messageOf, SiError } from '../../core/core.ts'
import { type WorkerReply, type WorkerRequest } from './serve-pieces.ts'
import { type Slab } from './slab.ts'
import { unpackError } from './thread-error.ts'

export interface PiecePool {
  readonly slab: Slab
  /**
   * Has the piece that fills the slot's first `sizeBytes` checked and written; the slot stays the
   * caller's and must not change until this settles. Rejects with the SiError the handler threw.
   */
  checkPiece(index: number, slot: number, sizeBytes: number): Promise<'ok' | 'bad'>
  /** Runs a task of servePieces on the least busy worker. Payload and result are cloned. */
  runTask<T>(name: string, payload: unknown): Promise<T>
  /** Runs a task on every worker; resolves when all are done, rejects with the first failure. */
  broadcast(name: string, payload: unknown): Promise<void>
  /** Lets work that has begun end, rejects the rest with ERR_SI_ABORTED, ends the threads. */
  close(): Promise<void>
}

export interface PiecePoolOptions {
  /** The caller's module, which calls servePieces at its top level. */
  readonly entry: URL
  /** Given to that module as `workerData`. */
  readonly workerData: unknown
  /** At least 1. */
  readonly threads: number
  readonly slab: Slab
}

/** Jobs a worker has at once: one under way and one waiting, so that it never waits for this thread. */
const JOBS_PER_WORKER = 2

/** Workers make much short-lived garbage; left alone, the engine lets it grow to tens of MiB each. */
const WORKER_LIMITS = { maxYoungGenerationSizeMb: 8 }

/**
 * A thread is asked to end, not ended: one that is still loading a native addon would take the process
 * with it.
 */
async function endThread({ worker, ended }: PoolThread): Promise<void> {
  worker.postMessage({ type: 'close' } satisfies WorkerRequest)
  await ended
}

type WithoutId<T> = T extends { readonly id: number } ? Omit<T, 'id'> : never
type Job = {
  readonly request: WithoutId<WorkerRequest>
  readonly resolve: (result: unknown) => void
  readonly reject: (error: SiError) => void
}

interface PoolThread {
  readonly worker: Worker
  readonly jobs: Map<number, Job>
  readonly ended: Promise<void>
}

/** Starts the threads. A module that cannot be loaded fails the first job, with the reason. */
export function createPiecePool(options: PiecePoolOptions): PiecePool {
  return new ThreadPool(options)
}

class ThreadPool implements PiecePool {
  readonly slab: Slab
  readonly #threads: PoolThread[]
  readonly #waiting: Job[] = []
  #nextId = 1
  #failure: SiError | undefined
  #isClosing = false
  #onIdle: (() => void) | undefined
  #closed: Promise<void> | undefined

  constructor(options: PiecePoolOptions) {
    this.slab = options.slab
    this.#threads = Array.from({ length: options.threads }, () => this.#startThread(options))
  }

  checkPiece(index: number, slot: number, sizeBytes: number): Promise<'ok' | 'bad'> {
    return this.#submit({ type: 'piece', index, slot, sizeBytes }) as Promise<'ok' | 'bad'>
  }

  runTask<T>(name: string, payload: unknown): Promise<T> {
    return this.#submit({ type: 'task', name, payload }) as Promise<T>
  }

  async broadcast(name: string, payload: unknown): Promise<void> {
    const request = { type: 'task', name, payload } as const
    await Promise.all(
      this.#threads.map(
        (thread) =>
          new Promise((resolve, reject) => this.#give(thread, { request, resolve, reject })),
      ),
    )
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async #shutDown(): Promise<void> {
    this.#isClosing = true
    const error = new SiError('ERR_SI_ABORTED', 'The piece workers were closed')
    for (const job of this.#waiting.splice(0)) job.reject(error)
    if (this.#threads.some((thread) => thread.jobs.size > 0)) {
      await new Promise<void>((resolve) => (this.#onIdle = resolve))
    }
    await Promise.all(this.#threads.map(endThread))
  }

  #startThread(options: PiecePoolOptions): PoolThread {
    const { entry, workerData } = options
    const worker = new Worker(entry, { workerData, resourceLimits: WORKER_LIMITS })
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    const thread: PoolThread = { worker, jobs: new Map(), ended }
    const { memory, slotBytes } = this.slab
    worker.postMessage({ type: 'memory', memory, slotBytes } satisfies WorkerRequest)
    worker.on('message', (reply: WorkerReply) => this.#settle(thread, reply))
    worker.on('error', (error) => this.#fail(messageOf(error), error))
    worker.on('exit', (code) => this.#fail(`it ended with status ${code}`, undefined))
    return thread
  }

  #submit(request: WithoutId<WorkerRequest>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const job: Job = { request, resolve, reject }
      const least = this.#threads.reduce((a, b) => (b.jobs.size < a.jobs.size ? b : a))
      const isFree = least.jobs.size < JOBS_PER_WORKER
      if (isFree || this.#failure !== undefined || this.#isClosing) this.#give(least, job)
      else this.#waiting.push(job)
    })
  }

  #give(thread: PoolThread, job: Job): void {
    if (this.#failure !== undefined) return job.reject(this.#failure)
    if (this.#isClosing) {
      return job.reject(new SiError('ERR_SI_ABORTED', 'The piece workers were closed'))
    }
    const id = this.#nextId++
    thread.jobs.set(id, job)
    thread.worker.postMessage({ ...job.request, id })
  }

  #settle(thread: PoolThread, reply: WorkerReply): void {
    const job = thread.jobs.get(reply.id)
    thread.jobs.delete(reply.id)
    const next = thread.jobs.size < JOBS_PER_WORKER ? this.#waiting.shift() : undefined
    if (next !== undefined) this.#give(thread, next)
    if ('error' in reply) job?.reject(unpackError(reply.error))
    else job?.resolve(reply.result)
    this.#checkIdle()
  }

  #fail(reason: string, cause: unknown): void {
    if (!this.#isClosing || this.#onIdle !== undefined) {
      const message = `A piece worker broke down: ${reason}`
      this.#failure ??= new SiError('ERR_SI_SWARM', message, { cause })
    }
    const failure = this.#failure
    if (failure === undefined) return
    for (const job of this.#waiting.splice(0)) job.reject(failure)
    for (const thread of this.#threads) {
      for (const job of thread.jobs.values()) job.reject(failure)
      thread.jobs.clear()
    }
    this.#checkIdle()
  }

  #checkIdle(): void {
    if (this.#onIdle === undefined || this.#threads.some((thread) => thread.jobs.size > 0)) return
    this.#onIdle()
    this.#onIdle = undefined
  }
}
