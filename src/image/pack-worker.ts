// Entry of a pack thread: hashes and compresses the chunks of one window, or hashes one piece, per
// message. Invariant: it answers every message exactly once, with the result or the error's words.
import { hash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../core/core.ts'
import { encodeFrameSync } from './frame.ts'
import { PackWindow } from './pack-window.ts'
import type { PackReply, PackTask, PackWorkerData } from './pack-workers.ts'

const { windows: memories, pieces: pieceBuffers, zstdLevel } = workerData as PackWorkerData
const windows = memories.map((memory) => new PackWindow(memory))
const pieces = pieceBuffers.map((buffer) => new Uint8Array(buffer))

function compressWindow(window: PackWindow, chunkCount: number): void {
  let offset = 0
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const plain = window.chunk(chunk)
    window.hash(chunk).set(hash('sha256', plain, 'buffer'))
    const frame = encodeFrameSync(plain, zstdLevel)
    window.frames.set(frame, offset)
    window.setFrame(chunk, offset, frame.length)
    offset += frame.length
  }
}

function run(task: PackTask): PackReply {
  switch (task.kind) {
    case 'window': {
      const window = windows[task.index]
      if (window === undefined) throw new RangeError(`no window ${task.index}`)
      compressWindow(window, task.chunkCount)
      return { kind: 'window' }
    }
    case 'piece': {
      const piece = pieces[task.index]?.subarray(0, task.lengthBytes)
      if (piece === undefined) throw new RangeError(`no piece buffer ${task.index}`)
      const sha1 = hash('sha1', piece, 'buffer')
      return { kind: 'piece', sha1, sha256: hash('sha256', piece, 'buffer') }
    }
    default:
      return task satisfies never
  }
}

parentPort?.on('message', (task: PackTask) => {
  let reply: PackReply
  try {
    reply = run(task)
  } catch (error) {
    reply = { kind: 'error', message: messageOf(error) }
  }
  parentPort?.postMessage(reply)
})
