// What a torrent needs of the world outside its thread: connections, trackers, a turn later. The
// simulation puts a virtual network here and runs everything else as it is. Invariant: nothing in a
// session reaches a socket, or waits, but through this, the clock, the store and the piece pool.
import { Connection } from './connection.ts'
import { sendAnnounce } from './tracker-request.ts'

/** A connection, whatever carries it. */
export type PeerLink = Pick<Connection, keyof Connection>

export interface Surroundings {
  /** As `Connection.dial`. */
  readonly dial: (...args: Parameters<typeof Connection.dial>) => PeerLink
  readonly announce: typeof sendAnnounce
  /** Calls back once, on this thread, after all that happens at this very moment. */
  readonly soon: (callback: () => void) => void
}

/** TCP, HTTP and the event loop of Node. */
export const systemSurroundings: Surroundings = {
  dial: (...args) => Connection.dial(...args),
  announce: sendAnnounce,
  soon: (callback) => void setImmediate(callback),
}
