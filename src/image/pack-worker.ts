// Entry of a pack thread: hashes and compresses the chunks of one window, or hashes one piece, per
// message. Invariant: it answers every message exactly once, in order, with the result or the error's
// words.
import { hash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { digestOf, messageOf } from '../core/core.ts'
import { FrameEncoder } from './frame.ts'
import { PackWindow } from './pack-window.ts'
import type { PackReply, PackTask, PackWorkerData } from './pack-workers.ts'

const data = workerData as PackWorkerData
const windows = data.windows.map((memory) => new PackWindow(memory))
const pieces = data.pieces.map((buffer) => new Uint8Array(buffer))
const encoder = new FrameEncoder(data.zstdLevel)

function compressWindow(window: PackWindow, chunkCount: number): void {
  let offset = 0
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const plain = window.chunk(chunk)
    window.hash(chunk).set(hash('sha256', plain, 'buffer'))
    const packedBytes = encoder.encode(plain, window.frames.subarray(offset))
    window.setFrame(chunk, offset, packedBytes)
    offset += packedBytes
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
      return { kind: 'piece', sha1: digestOf('sha1', piece), sha256: digestOf('sha256', piece) }
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
