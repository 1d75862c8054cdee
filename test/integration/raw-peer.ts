// One connection of ours and the bare socket at its other end, over loopback.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { systemClock } from '../../src/core/core.ts'
import { dialPeer } from '../../src/swarm/connection/peer-socket.ts'
import { type Connection } from '../../src/swarm/connection/connection.ts'

export interface RawPeer extends AsyncDisposable {
  readonly connection: Connection
  /** Paused: nothing is read from it until somebody does. */
  readonly socket: Socket
  /** Resolves with the reason when our end has closed. */
  readonly closed: Promise<Error | undefined>
  /** Reads so many bytes. */
  read(lengthBytes: number): Promise<Buffer>
}

export async function connectRawPeer(): Promise<RawPeer> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'connection')
  const connected = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<Error | undefined>()
  const connection = dialPeer(
    { host: '127.0.0.1', port },
    { onHandshake: () => {}, onClose: closed.resolve },
    { clock: systemClock, onConnect: () => connected.resolve() },
  )
  const [socket] = (await accepted) as [Socket]
  await connected.promise
  socket.on('error', () => {})
  return {
    ...{ connection, socket, closed: closed.promise },
    read: (lengthBytes) => readExactly(socket, lengthBytes),
    async [Symbol.asyncDispose]() {
      connection.close()
      socket.destroy()
      await closed.promise
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Two sockets of one connection, both paused. */
export async function connectSockets(): Promise<readonly [near: Socket, far: Socket]> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1').pause()
  const [far] = (await accepted) as [Socket]
  server.close()
  for (const socket of [near, far]) socket.on('error', () => {})
  return [near, far]
}

export async function readExactly(socket: Socket, lengthBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (let leftBytes = lengthBytes; leftBytes > 0;) {
    const ready = Math.max(1, Math.min(leftBytes, socket.readableLength))
    const chunk = socket.read(ready) as Buffer | null
    if (chunk === null) {
      await once(socket, 'readable')
    } else {
      chunks.push(chunk)
      leftBytes -= chunk.length
    }
  }
  return Buffer.concat(chunks)
}
