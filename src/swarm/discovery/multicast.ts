// Datagrams to all machines of the networks that this one is on: one socket for IPv4, one for IPv6.
// Invariant: whatever is missing (no such protocol, no route, a port that is taken) makes it quieter,
// never an error. Source: ip(7), ipv6(7).
import { createSocket, type Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { messageOf } from '../../core/core.ts'

export interface MulticastOptions {
  readonly groups: { readonly IPv4: string; readonly IPv6: string }
  readonly port: number
  /** Only the network of this address is used; `0.0.0.0`: all of IPv4, `::`: all. */
  readonly host: string
  /** `source` is the sender's IP address, with a zone where it is link-local. */
  readonly onDatagram: (datagram: Buffer, source: string) => void
  readonly onNote: (text: string) => void
}

export interface Multicast {
  /** Sends to the group on every network; `datagramFor` makes the datagram for a group's address. */
  send(datagramFor: (groupHost: string) => Buffer): void
  /** Idempotent. */
  close(): Promise<void>
}

type Family = 'IPv4' | 'IPv6'

/** A network that we are on, as the socket options want it named. */
interface Link {
  readonly family: Family
  /** An IPv4 address of ours, or `::%NAME`. */
  readonly address: string
}

/** Bridges of containers come in hundreds; the kernel allows twenty groups per socket. */
const MAX_LINKS = 8

/** Binds; resolves when datagrams can come and go, or never will. */
export async function openMulticast(options: MulticastOptions): Promise<Multicast> {
  const families = options.host.includes(':') ? (['IPv4', 'IPv6'] as const) : (['IPv4'] as const)
  const opened = await Promise.all(families.map((family) => openGroup(family, options)))
  const groups = opened.filter((group) => group !== undefined)
  return {
    send(datagramFor) {
      for (const group of groups) group.send(findLinks(options.host, group.family), datagramFor)
    },
    async close() {
      await Promise.all(groups.map((group) => group.close()))
    },
  }
}

interface Group {
  readonly family: Family
  send(links: readonly Link[], datagramFor: (groupHost: string) => Buffer): void
  close(): Promise<void>
}

/** undefined when the socket cannot be had. */
async function openGroup(family: Family, options: MulticastOptions): Promise<Group | undefined> {
  const { groups, port, onDatagram, onNote } = options
  const isIPv6 = family === 'IPv6'
  const socket = createSocket({
    ...{ type: isIPv6 ? 'udp6' : 'udp4', reuseAddr: true, ipv6Only: isIPv6 },
    // At once, so that the network chosen before a send is the one that it goes to.
    lookup: (host, _options, callback) => callback(null, host, isIPv6 ? 6 : 4),
  })
  try {
    await bind(socket, port)
  } catch (error) {
    attempt(() => socket.close())
    // A kernel without IPv6 is no news.
    if (!isIPv6) onNote(`Local discovery is off: ${messageOf(error)}`)
    return undefined
  }
  socket.unref()
  socket.on('error', () => {}) // one datagram that did not go out
  socket.on('message', (datagram, { address }) => onDatagram(datagram, address))
  const group = groups[family]
  let isClosed = false
  joinLinks(socket, group, findLinks(options.host, family))
  return {
    family,
    send(links, datagramFor) {
      if (isClosed) return
      joinLinks(socket, group, links)
      const datagram = datagramFor(isIPv6 ? `[${group}]:${port}` : `${group}:${port}`)
      for (const { address } of links) {
        attempt(() => {
          socket.setMulticastInterface(address)
          socket.send(datagram, port, group, () => {})
        })
      }
    },
    close: () =>
      new Promise((resolve) => {
        if (isClosed) return resolve()
        isClosed = true
        socket.close(() => resolve())
      }),
  }
}

function bind(socket: Socket, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ port }, () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

/** Networks come and go; joining one again changes nothing. */
function joinLinks(socket: Socket, group: string, links: readonly Link[]): void {
  for (const { address } of links) attempt(() => socket.addMembership(group, address))
}

/** A network that just went away is tried again at the next datagram. */
function attempt(act: () => void): void {
  try {
    act()
  } catch {
    return
  }
}

/** Networks by IPv4 where they have it, so that nobody is found twice; by IPv6 where not. */
function findLinks(host: string, family: Family): Link[] {
  const isAny = host === '0.0.0.0' || host === '::'
  const links: Link[] = []
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    const usable = addresses.filter(({ address, internal }) =>
      isAny ? !internal : address === host,
    )
    const ipv4 = usable.find(({ family }) => family === 'IPv4')
    if (ipv4 !== undefined) links.push({ family: 'IPv4', address: ipv4.address })
    else if (usable.length > 0) links.push({ family: 'IPv6', address: `::%${name}` })
  }
  return links.filter((link) => link.family === family).slice(0, MAX_LINKS)
}
