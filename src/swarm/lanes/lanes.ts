// Sockets spread over several threads, of which the network thread is the first. It connects and accepts; each
// connection then lives where the load is least: here, or on a lane, which is handed the connected socket and told
// by message what is decided about it. Invariant: a lane that breaks down takes its own connections with it and
// nothing else; when none is left, all that follow live here.
import { connect, type Socket } from 'node:net'
import { duplicate } from '../../host/host.ts'
import { errnoOf } from '../../core/core.ts'
import { plainAddress, type Connection, type Dial } from '../connection/connection.ts'
import { Lane } from './lane.ts'
import { LaneConnection } from './lane-connection.ts'
import { type Adoption } from './lane-protocol.ts'
import { type PeerGuard } from '../connection/peer-guard.ts'
import { createLocalSockets, setPeerOptions, type PeerSockets } from '../connection/peer-socket.ts'
import { descriptorOf } from '../connection/socket-descriptor.ts'
import { type UploadBuffers } from '../pieces/upload-buffers.ts'

export interface LanesOptions {
  /** Network threads, this one counted; at least 2. */
  readonly count: number
  readonly uploads: UploadBuffers
  readonly onNote: (text: string) => void
  /** undefined: no TLS. */
  readonly guard: PeerGuard | undefined
}

/** What it costs the network thread to decide for a connection of a lane, as a part of having it itself. */
const DECIDING_PART = 0.2

/** A thread that connections may live on. */
interface Place {
  /** Undefined: the network thread. */
  readonly lane: Lane | undefined
  readonly connections: Set<Connection>
}

/** Starts the threads. Needs descriptors of sockets: see descriptorOf(). */
export function createLanes(options: LanesOptions): PeerSockets {
  const lanes = startLanes(options)
  const local = createLocalSockets(options.guard)
  const here: Place = { lane: undefined, connections: new Set() }
  const elsewhere = lanes.map((lane): Place => ({ lane, connections: new Set() }))
  const settle = (open: (lane: Lane | undefined) => Connection) => {
    const place = idlest(here, elsewhere)
    const connection = open(place.lane)
    place.connections.add(connection)
    return connection
  }
  return {
    dial: (...call) =>
      settle((lane) => (lane === undefined ? local.dial(...call) : dialFor(lane, ...call))),
    accept: (...call) =>
      settle((lane) => (lane === undefined ? local.accept(...call) : acceptFor(lane, ...call))),
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()))
    },
  }
}

function startLanes({ count, uploads, onNote, guard }: LanesOptions): readonly Lane[] {
  const onFault = (error: Error) =>
    onNote(`${error.message}; its connections are lost, the others go on`)
  const lanes = Array.from(
    { length: count - 1 },
    (_, at) => new Lane({ lane: at + 1, uploads, guard, onFault }),
  )
  guard?.onRenewal((material) => {
    for (const lane of lanes) lane.renewTls({ material, allowsPlain: guard.allowsPlain })
  })
  return lanes
}

/** The network thread where all are equal: what lives there needs no messages. */
function idlest(here: Place, elsewhere: readonly Place[]): Place {
  let best = here
  let bestLoad = countOpen(here)
  for (const place of elsewhere) bestLoad += DECIDING_PART * countOpen(place)
  for (const place of elsewhere) {
    const load = countOpen(place)
    if (!place.lane?.isAlive || load >= bestLoad) continue
    best = place
    bestLoad = load
  }
  return best
}

function countOpen({ connections }: Place): number {
  for (const connection of connections) if (connection.isClosed) connections.delete(connection)
  return connections.size
}

function dialFor(lane: Lane, ...[endpoint, owner, options]: Parameters<Dial>): Connection {
  const socket = connect({ host: endpoint.host, port: endpoint.port }).pause()
  const abort = () => void socket.destroy()
  const { clock, onConnect } = options
  const { guard } = lane
  const setup = { ...endpoint, isOutgoing: true, owner, clock, abort, guard }
  const connection = new LaneConnection(setup)
  const transfer = watch(socket, connection)
  socket.once('connect', () => {
    if (transfer(lane)) onConnect()
  })
  return connection
}

function acceptFor(
  lane: Lane,
  ...[socket, owner, { clock, infoHashes }]: Parameters<PeerSockets['accept']>
): Connection {
  const host = plainAddress(socket.remoteAddress) ?? 'unknown'
  const port = socket.remotePort ?? 0
  const abort = () => void socket.destroy()
  const { guard } = lane
  const setup = { host, port, isOutgoing: false, owner, clock, abort, guard }
  const connection = new LaneConnection(setup)
  watch(socket, connection)(lane, [...infoHashes()])
  return connection
}

/**
 * Ends a connection with its socket, until the returned function has handed the socket to a lane. That
 * returns false when it cannot be: the connection ends then.
 */
function watch(
  socket: Socket,
  connection: LaneConnection,
): (lane: Lane, infoHashes?: Adoption['infoHashes']) => boolean {
  let isHandedOver = false
  let reason: Error | undefined
  socket.on('error', (error) => (reason ??= error))
  socket.on('close', () => {
    if (!isHandedOver) connection.onClosed(reason)
  })
  return (lane, infoHashes) => {
    isHandedOver = lane.isAlive && handOver(socket, connection, { lane, infoHashes })
    socket.destroy() // when it was handed over, the lane's descriptor keeps it open
    return isHandedOver
  }
}

/** False when the socket is closed already, or the process may not open more descriptors. */
function handOver(
  socket: Socket,
  connection: LaneConnection,
  to: { readonly lane: Lane; readonly infoHashes: Adoption['infoHashes'] },
): boolean {
  const fd = descriptorOf(socket)
  if (fd === undefined) return false
  setPeerOptions(socket)
  const remoteHost = plainAddress(socket.remoteAddress) ?? connection.remoteHost
  try {
    to.lane.adopt(connection, { fd: duplicate(fd), infoHashes: to.infoHashes }, remoteHost)
  } catch (error) {
    if (errnoOf(error) !== 'EMFILE') throw error
    return false
  }
  return true
}
