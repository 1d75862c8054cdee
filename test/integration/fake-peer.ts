// Peers that are not ours and may do anything: they listen on loopback, greet as the protocol wants, and
// then do what the test says. Everything they opened is closed by `await using`.
import { createServer, type Server, type Socket } from 'node:net'
import { createPeerId, encodeHandshake, HANDSHAKE_BYTES } from '../../src/swarm/wire/handshake.ts'
import { encodeMessage, WireDecoder, type WireMessage } from '../../src/swarm/wire/wire.ts'
import { Bitfield, type Metainfo } from '../../src/torrent/torrent.ts'

export interface FakePeer extends AsyncDisposable {
  readonly address: string
  connections(): number
  closed(): number
}

export interface FakePeerOptions {
  /** What it claims to have; everything when left out. */
  readonly pieces?: Bitfield
  readonly supportsFast?: boolean
}

/** A peer that greets, claims to have pieces, unchokes, and then does what `behave` does. */
export async function startFakePeer(
  metainfo: Metainfo,
  behave: (socket: Socket, data: Buffer) => void,
  options: FakePeerOptions = {},
): Promise<FakePeer> {
  const sockets = new Set<Socket>()
  let [count, closedCount] = [0, 0]
  const peerId = createPeerId(Math.random)
  const server = createServer((socket) => {
    count++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => closedCount++)
    socket.once('data', (data) => {
      greet(socket, { metainfo, peerId, options })
      if (data.length > HANDSHAKE_BYTES) behave(socket, data.subarray(HANDSHAKE_BYTES))
      socket.on('data', (more) => behave(socket, more))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${portOf(server)}`,
    connections: () => count,
    closed: () => closedCount,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Greeting {
  readonly metainfo: Metainfo
  readonly peerId: string
  readonly options: FakePeerOptions
}

function greet(socket: Socket, { metainfo, peerId, options }: Greeting): void {
  const { infoHash, pieceCount } = metainfo
  const { pieces = Bitfield.full(pieceCount), supportsFast = false } = options
  socket.write(encodeHandshake({ infoHash, peerId, supportsFast, supportsExtensions: false }))
  socket.write(encodeMessage({ type: 'bitfield', bytes: pieces.bytes }))
  socket.write(encodeMessage({ type: 'unchoke' }))
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** For `behave`: decodes what comes on each connection and hands on the messages. */
export function onMessages(
  handle: (socket: Socket, message: WireMessage) => void,
): (socket: Socket, data: Buffer) => void {
  const decoders = new WeakMap<Socket, WireDecoder>()
  return (socket, data) => {
    let decoder = decoders.get(socket)
    if (decoder === undefined) {
      const ignore = () => {}
      decoder = new WireDecoder(
        {
          onMessage: (message) => handle(socket, message),
          ...{ onPayloadBegin: ignore, onPayload: ignore, onPayloadEnd: ignore },
        },
        { maxControlBytes: 2 ** 20, maxPayloadBytes: 2 ** 24 },
      )
      decoders.set(socket, decoder)
    }
    decoder.push(data)
  }
}
