// The worker's half of the piece pool: takes full slots, has them checked and written, answers. Runs in
// a thread of its own; invariant: a slot is touched only between its message and the answer to it.
import { parentPort } from 'node:worker_threads'
import { SiError } from '../../core/core.ts'
import { packError, type ThreadError } from './thread-error.ts'

export interface PieceHandlers {
  /**
   * Checks and writes one piece, synchronously; `bytes` lie in the slab and are valid during the call
   * only. `bad` when they are not what they should be; throws when they cannot be written, which ends
   * the whole download with that error.
   */
  piece(index: number, bytes: Uint8Array): 'ok' | 'bad'
  /** Other work for this thread, by name. */
  readonly tasks: Readonly<Record<string, (payload: unknown) => unknown>>
}

/** To a worker. `memory` comes first and once. */
export type WorkerRequest =
  | { readonly type: 'close' }
  | { readonly type: 'memory'; readonly memory: SharedArrayBuffer; readonly slotBytes: number }
  | {
      readonly type: 'piece'
      readonly id: number
      readonly index: number
      readonly slot: number
      readonly sizeBytes: number
    }
  | { readonly type: 'task'; readonly id: number; readonly name: string; readonly payload: unknown }

/** From a worker. */
export type WorkerReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ThreadError }

/** To be called once, at the top level of the module that createPiecePool was given. */
export function servePieces(handlers: PieceHandlers): void {
  const port = parentPort
  if (port === null) {
    throw new SiError('ERR_SI_INTERNAL', 'servePieces was called outside a worker thread')
  }
  let slab: { readonly memory: SharedArrayBuffer; readonly slotBytes: number } | undefined
  const answer = (reply: WorkerReply) => port.postMessage(reply)
  const runTask = async (id: number, name: string, payload: unknown) => {
    try {
      const task = handlers.tasks[name]
      if (task === undefined) throw new SiError('ERR_SI_INTERNAL', `No worker task "${name}"`)
      answer({ id, result: await task(payload) })
    } catch (error) {
      answer({ id, error: packError(error) })
    }
  }
  port.on('message', (request: WorkerRequest) => {
    if (request.type === 'close') {
      port.close() // nothing else keeps the thread alive
    } else if (request.type === 'memory') {
      slab = request
    } else if (request.type === 'task') {
      void runTask(request.id, request.name, request.payload)
    } else if (slab !== undefined) {
      const { id, index, slot, sizeBytes } = request
      try {
        const bytes = new Uint8Array(slab.memory, slot * slab.slotBytes, sizeBytes)
        answer({ id, result: handlers.piece(index, bytes) })
      } catch (error) {
        answer({ id, error: packError(error) })
      }
    }
  })
}
