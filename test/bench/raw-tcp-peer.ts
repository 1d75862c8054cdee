// The limit: the same bytes through one TCP connection of Node, neither checked nor kept.
// `raw-tcp-peer.ts seed SIZE` sends, `raw-tcp-peer.ts get SIZE HOST:PORT` receives; both stay until SIGTERM.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

const [role, size, address = ''] = process.argv.slice(2)
const sizeBytes = Number(size)

const SEND_BYTES = 2 ** 20
const RECEIVE_BYTES = 256 * 1024

function send(socket: Socket): void {
  const buffer = Buffer.alloc(SEND_BYTES, 'noise')
  let leftBytes = sizeBytes
  const fill = () => {
    while (leftBytes > 0) {
      const part = buffer.subarray(0, Math.min(leftBytes, buffer.length))
      leftBytes -= part.length
      if (!socket.write(part)) return
    }
  }
  socket.on('drain', fill)
  fill()
}

function receive(host: string, port: number): void {
  let doneBytes = 0
  const callback = (bytes: number) => {
    doneBytes += bytes
    if (doneBytes === sizeBytes) console.log('complete')
    return true
  }
  connect({ host, port, onread: { buffer: Buffer.alloc(RECEIVE_BYTES), callback } })
  console.log('listening', 0)
}

if (role === 'seed') {
  const server = createServer(send).listen(0, () => {
    console.log('listening', (server.address() as AddressInfo).port)
    console.log('complete')
  })
} else {
  const [host = '', port] = address.split(':')
  receive(host, Number(port))
}
