// The network boot of firmware, without a machine (RFC 2131, RFC 4578, PXE 2.1 §2.2): asks as a client of one kind, waits for
// so many DHCP servers, asks the boot server where that names no file yet, and prints what the client would boot: one
// JSON line for each kind. Runs on a host of the lab's network:
//     node pxe-client.ts SERVERS ADDRESS KIND …      KIND: number of RFC 4578, followed by "-ipxe" for iPXE
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

export interface PxeFindings {
  readonly kind: string
  /** Addresses that were offered. */
  readonly offered: readonly string[]
  /** SERVER/FILE or a URL; null: nothing to boot. */
  readonly boot: string | null
}

type Options = readonly (readonly [code: number, value: Buffer])[]

interface Answer {
  readonly address: string
  readonly next: string
  readonly file: string
  readonly options: ReadonlyMap<number, Buffer>
}

const COOKIE = Buffer.from([99, 130, 83, 99])
const HEADER_BYTES = 236
const DISCOVER = 1
const REQUEST = 3
const CLIENT_PORT = 68
const SERVER_PORT = 67
const BOOT_SERVER_PORT = 4011
const DEADLINE_MS = 10_000
/** Firmware of a kind that nobody has a file for gets no answer. */
const BOOT_SERVER_DEADLINE_MS = 1500

class PxeClient {
  readonly #socket: Socket
  readonly #kind: string
  readonly #own: Buffer
  readonly #transaction: number

  constructor(
    socket: Socket,
    options: { readonly kind: string; readonly address: string; readonly transaction: number },
  ) {
    this.#socket = socket
    this.#kind = options.kind
    this.#own = Buffer.from(options.address.split('.').map(Number))
    this.#transaction = options.transaction
  }

  async ask(servers: number): Promise<PxeFindings> {
    const packet = this.#encode(DISCOVER, [])
    const to = { address: '255.255.255.255', port: SERVER_PORT }
    const offers = await this.#exchange(packet, to, { count: servers, deadlineMs: DEADLINE_MS })
    const proxy = offers.find(isBootServer)
    const named = [proxy, ...offers].find((offer) => offer !== undefined && this.#isComplete(offer))
    const found = named ?? (proxy === undefined ? undefined : await this.#askBootServer(proxy))
    const offered = offers.map(({ address }) => address).filter((address) => address !== '0.0.0.0')
    return { kind: this.#kind, offered, boot: found === undefined ? null : locationOf(found) }
  }

  /** iPXE wants a server beside the file, also where that is a URL. */
  #isComplete({ file, next }: Answer): boolean {
    return file !== '' && (next !== '0.0.0.0' || !this.#kind.endsWith('-ipxe'))
  }

  /** A BIOS chooses the first item of the menu, UEFI knows none. */
  async #askBootServer({ options }: Answer): Promise<Answer | undefined> {
    const item = decodeOptions(options.get(43) ?? Buffer.alloc(0))
      .get(9)
      ?.subarray(0, 2)
    const choice: Options =
      item === undefined ? [] : [[43, Buffer.from([71, 4, ...item, 0, 0, 255])]]
    const packet = this.#encode(REQUEST, choice)
    this.#own.copy(packet, 12)
    const address = (options.get(54) ?? Buffer.alloc(4)).join('.')
    const answers = await this.#exchange(
      packet,
      { address, port: BOOT_SERVER_PORT },
      { count: 1, deadlineMs: BOOT_SERVER_DEADLINE_MS },
    )
    return answers.find((answer) => this.#isComplete(answer))
  }

  #encode(type: number, further: Options): Buffer {
    const header = Buffer.alloc(HEADER_BYTES)
    header.set([1, 1, 6, 0]) // BOOTREQUEST, Ethernet
    header.writeUInt32BE(this.#transaction, 4)
    header.writeUInt16BE(0x8000, 10) // answer by broadcast: the address is not ours yet
    header.set([0x52, 0x54, 0, 0xaa, 0xbb, this.#transaction & 255], 28)
    const number = parseInt(this.#kind)
    const vendorClass = `PXEClient:Arch:${String(number).padStart(5, '0')}:UNDI:003000`
    const options: Options = [
      [53, Buffer.from([type])],
      [55, Buffer.from([1, 3, 6, 43, 54, 60, 66, 67])],
      [60, Buffer.from(vendorClass)],
      [93, Buffer.from([number >> 8, number & 255])],
      [94, Buffer.from([1, 3, 0])],
      [97, Buffer.alloc(17, 7).fill(0, 0, 1)],
      ...(this.#kind.endsWith('-ipxe') ? ([[175, Buffer.from([0xb1, 1, 1])]] as const) : []),
      ...further,
    ]
    const parts = options.flatMap(([code, value]) => [Buffer.from([code, value.length]), value])
    return Buffer.concat([header, COOKIE, ...parts, Buffer.from([255])])
  }

  async #exchange(
    packet: Buffer,
    to: { readonly address: string; readonly port: number },
    until: { readonly count: number; readonly deadlineMs: number },
  ): Promise<readonly Answer[]> {
    const answers: Answer[] = []
    const signal = AbortSignal.timeout(until.deadlineMs)
    this.#socket.send(packet, to.port, to.address)
    while (answers.length < until.count) {
      const message = await once(this.#socket, 'message', { signal }).catch(() => undefined)
      if (message === undefined) break
      const answer = decode(message[0] as Buffer, this.#transaction)
      if (answer !== undefined) answers.push(answer)
    }
    return answers
  }
}

function decode(packet: Buffer, transaction: number): Answer | undefined {
  if (packet.length < HEADER_BYTES + 4 || packet.readUInt32BE(4) !== transaction) return undefined
  const options = decodeOptions(packet.subarray(HEADER_BYTES + 4))
  const text = (bytes: Buffer = Buffer.alloc(0)) => bytes.toString('latin1').replace(/\0.*$/s, '')
  const ip = (at: number) => packet.subarray(at, at + 4).join('.')
  const file = text(packet.subarray(108, HEADER_BYTES)) || text(options.get(67))
  return { address: ip(16), next: ip(20), file, options }
}

function decodeOptions(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const options = new Map<number, Buffer>()
  for (let at = 0; at < bytes.length && bytes[at] !== 255;) {
    const length = bytes[at + 1] ?? 0
    if (bytes[at] !== 0) options.set(bytes[at] ?? 0, bytes.subarray(at + 2, at + 2 + length))
    at += bytes[at] === 0 ? 1 : 2 + length
  }
  return options
}

const isBootServer = ({ options }: Answer) =>
  (options.get(60)?.toString('latin1') ?? '').startsWith('PXEClient')

const locationOf = ({ file, next }: Answer) => (file.includes('://') ? file : `${next}/${file}`)

const [servers = '1', address = '', ...kinds] = process.argv.slice(2)
const socket = createSocket('udp4')
socket.bind(CLIENT_PORT)
await once(socket, 'listening')
socket.setBroadcast(true)
for (const [index, kind] of kinds.entries()) {
  const client = new PxeClient(socket, { kind, address, transaction: 1000 + index })
  process.stdout.write(`${JSON.stringify(await client.ask(Number(servers)))}\n`)
}
socket.close()
