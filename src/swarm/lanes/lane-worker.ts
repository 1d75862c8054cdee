// The entry of a lane's thread.
import { parentPort, workerData } from 'node:worker_threads'
import { END_LANE, LaneSockets, type LaneData, type LaneMessage } from './lane-sockets.ts'

const port = parentPort
if (port !== null) {
  const sockets = new LaneSockets(workerData as LaneData, (batch) => {
    port.postMessage(batch, [batch.buffer])
  })
  port.on('message', (message: LaneMessage | typeof END_LANE) => {
    if (message !== END_LANE) return sockets.onMessage(message)
    sockets.close()
    port.close() // nothing else keeps the thread alive
  })
}
