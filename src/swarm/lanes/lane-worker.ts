// The entry of a lane's thread.
import { parentPort, workerData } from 'node:worker_threads'
import { LaneSockets, type LaneData, type LaneMessage } from './lane-sockets.ts'

const port = parentPort
if (port !== null) {
  const sockets = new LaneSockets(workerData as LaneData, (batch) => {
    port.postMessage(batch, [batch.buffer])
  })
  port.on('message', (message: LaneMessage) => sockets.onMessage(message))
}
