// What clients may take of a server, each and all together. A client is who its certificate names, however
// often it connects. Invariant: memory for requests and answers is counted before it is taken, so that
// clients that send much, or read nothing, wait for themselves.
import { FuseError } from '../fuse/errno.ts'

export interface GridLimits {
  /** In all; those in the middle of a handshake count. */
  readonly connections: number
  readonly clientConnections: number
  /** Mounts, and those that ended less than a lease ago. */
  readonly clientSessions: number
  readonly openFiles: number
  readonly clientOpenFiles: number
  /** For requests in flight and answers that were not taken yet. */
  readonly memoryBytes: number
  readonly clientMemoryBytes: number
  /** Who sends half a message, or does not read its answers, for so long is cut off. */
  readonly stalledMs: number
}

export const DEFAULT_LIMITS: GridLimits = {
  ...{ connections: 1024, clientConnections: 16, clientSessions: 64 },
  ...{ openFiles: 65_536, clientOpenFiles: 16_384 },
  ...{ memoryBytes: 2 ** 30, clientMemoryBytes: 128 * 2 ** 20 },
  stalledMs: 60_000,
}

/** Room that is taken and given back, by one client and within that of all. */
export class Room {
  readonly #of: Room | undefined
  readonly #limit: () => number
  readonly #waiting = new Set<() => void>()
  #taken = 0

  constructor(limit: () => number, of?: Room) {
    this.#limit = limit
    this.#of = of
  }

  get taken(): number {
    return this.#taken
  }

  /** Whether nothing is left. One request too many is always let in, so that a large one is not stuck. */
  get isFull(): boolean {
    return this.#taken >= this.#limit() || this.#of?.isFull === true
  }

  take(amount: number): void {
    this.#taken += amount
    this.#of?.take(amount)
  }

  giveBack(amount: number): void {
    this.#taken -= amount
    this.#of?.giveBack(amount)
    if (!this.isFull) wake(this.#waiting)
  }

  /** Calls back once, when something was given back. Returns how to stop that. */
  onRoom(listener: () => void): () => void {
    this.#waiting.add(listener)
    const stopAbove = this.#of?.onRoom(listener)
    return () => {
      this.#waiting.delete(listener)
      stopAbove?.()
    }
  }
}

function wake(waiting: Set<() => void>): void {
  const all = [...waiting]
  waiting.clear()
  for (const listener of all) listener()
}

export interface ClientRooms {
  readonly connections: Room
  readonly sessions: Room
  readonly openFiles: Room
  readonly memory: Room
}

/** The rooms of all clients; `limits` may change while they are in use. */
export class Rooms {
  readonly #all: Pick<ClientRooms, 'openFiles' | 'memory'>
  readonly #limits: () => GridLimits
  readonly #clients = new Map<string, ClientRooms>()

  constructor(limits: () => GridLimits) {
    this.#limits = limits
    this.#all = {
      openFiles: new Room(() => limits().openFiles),
      memory: new Room(() => limits().memoryBytes),
    }
  }

  /** Bounded by the certificates that the authority has issued. */
  of(client: string): ClientRooms {
    const known = this.#clients.get(client)
    if (known !== undefined) return known
    const limits = this.#limits
    const rooms = {
      connections: new Room(() => limits().clientConnections),
      sessions: new Room(() => limits().clientSessions),
      openFiles: new Room(() => limits().clientOpenFiles, this.#all.openFiles),
      memory: new Room(() => limits().clientMemoryBytes, this.#all.memory),
    }
    this.#clients.set(client, rooms)
    return rooms
  }
}

/** Throws ENFILE when a client has as many open as it may, or all together have. */
export function checkRoom(room: Room): void {
  if (room.isFull) throw new FuseError('ENFILE')
}
