// Sockets spread over several threads. The network thread connects and accepts, then hands the connected
// socket to the lane that has the fewest; what it decides about the connection goes there by message.
// Invariant: a lane that breaks down takes its own connections with it and nothing else; when none is
// left, sockets live on the network thread again.
import { connect, type Socket } from 'node:net'
import { duplicate } from '../../host/host.ts'
import { errnoOf } from '../../core/core.ts'
import { plainAddress } from '../connection/connection.ts'
import { Lane } from './lane.ts'
import { LaneConnection } from './lane-connection.ts'
import { type Adoption } from './lane-protocol.ts'
import {
  acceptPeer,
  dialPeer,
  setPeerOptions,
  type PeerSockets,
} from '../connection/peer-socket.ts'
import { descriptorOf } from '../connection/socket-descriptor.ts'
import { type UploadBuffers } from '../pieces/upload-buffers.ts'

export interface LanesOptions {
  /** Threads, at least 1. */
  readonly count: number
  readonly uploads: UploadBuffers
  readonly onNote: (text: string) => void
}

/** Starts the threads. Needs descriptors of sockets: see descriptorOf(). */
export function createLanes(options: LanesOptions): PeerSockets {
  const { count, uploads, onNote } = options
  const lanes = Array.from(
    { length: count },
    (_, index) =>
      new Lane({
        lane: index + 1,
        uploads,
        onFault: (error) => onNote(`${error.message}; its connections are lost, the others go on`),
      }),
  )
  const idlest = () =>
    lanes
      .filter((lane) => lane.isAlive)
      .reduce<Lane | undefined>(
        (a, b) => (a === undefined || b.connectionCount < a.connectionCount ? b : a),
        undefined,
      )
  return {
    dial(endpoint, owner, { clock, onConnect }) {
      if (idlest() === undefined) return dialPeer(endpoint, owner, { clock, onConnect })
      const socket = connect({ host: endpoint.host, port: endpoint.port }).pause()
      const abort = () => void socket.destroy()
      const setup = { ...endpoint, isOutgoing: true, owner, clock, abort }
      const connection = new LaneConnection(setup)
      const transfer = watch(socket, connection)
      socket.once('connect', () => {
        if (transfer(idlest())) onConnect()
      })
      return connection
    },
    accept(socket, owner, options) {
      const lane = idlest()
      if (lane === undefined) return acceptPeer(socket, owner, options)
      const host = plainAddress(socket.remoteAddress) ?? 'unknown'
      const port = socket.remotePort ?? 0
      const abort = () => void socket.destroy()
      const connection = new LaneConnection({
        ...{ host, port, isOutgoing: false, owner, clock: options.clock, abort },
      })
      watch(socket, connection)(lane, [...options.infoHashes()])
      return connection
    },
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()))
    },
  }
}

/**
 * Ends a connection with its socket, until the returned function has handed the socket to a lane. That
 * returns false when it cannot be: the connection ends then.
 */
function watch(
  socket: Socket,
  connection: LaneConnection,
): (lane: Lane | undefined, infoHashes?: Adoption['infoHashes']) => boolean {
  let isHandedOver = false
  let reason: Error | undefined
  socket.on('error', (error) => (reason ??= error))
  socket.on('close', () => {
    if (!isHandedOver) connection.onClosed(reason)
  })
  return (lane, infoHashes) => {
    isHandedOver = lane !== undefined && handOver(socket, connection, { lane, infoHashes })
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
