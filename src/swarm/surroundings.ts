// What a torrent needs of the world outside its thread: connections, trackers, a turn later. The
// simulation puts a virtual network here and runs everything else as it is. Invariant: nothing in a
// session reaches a socket, or waits, but through this, the clock, the store and the piece pool.
import { type Dial } from './connection/connection.ts'
import { dialPeer } from './connection/peer-socket.ts'
import { sendAnnounce, type SendAnnounce } from './discovery/tracker-request.ts'

export interface Surroundings {
  readonly dial: Dial
  readonly announce: SendAnnounce
  /** A connection ended before the other side had said who it is. */
  readonly onRefused: (address: string, error: Error) => void
  /** Calls back once, on this thread, after all that happens at this very moment. */
  readonly soon: (callback: () => void) => void
}

/** TCP, HTTP and the event loop of Node. */
export const systemSurroundings: Surroundings = {
  dial: dialPeer,
  announce: sendAnnounce,
  onRefused: () => {},
  soon: (callback) => void setImmediate(callback),
}
