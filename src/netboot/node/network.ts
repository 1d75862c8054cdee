// The network of a machine that has nothing yet: by DHCP (busybox udhcpc) on all cards at the same time, or as the
// parameters say. Invariant: one card is configured in the end; a DHCP server that is silent or a cable that is
// not plugged in is waited for, and told.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { readNetworkCards, run, start, type NetworkCard } from '../../host/host.ts'
import { untilItWorks } from './back-off.ts'
import type { NodeParameters } from './parameter-table.ts'

export interface NetworkFacts {
  readonly card: NetworkCard
  /** With its prefix length, such as 10.0.0.7/24. */
  readonly address: string
  /** As DHCP says; undefined: it says none. */
  readonly hostName: string | undefined
}

export interface NetworkContext {
  readonly parameters: NodeParameters
  /** MAC address of the card that the machine was booted from. */
  readonly bootMac: string | undefined
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

const RUN_DIRECTORY = '/run/swarmimager'
const DHCP_EVENT = '/usr/lib/swarmimager/dhcp-event.sh'

export async function configureNetwork(context: NetworkContext): Promise<NetworkFacts> {
  const { say, signal } = context
  await mkdir(RUN_DIRECTORY, { recursive: true })
  return untilItWorks(
    async () => {
      const cards = chooseCards(await readNetworkCards(), context)
      for (const { name } of cards) await run('ip', ['link', 'set', name, 'up'], { signal })
      const { ip } = context.parameters
      return ip === 'dhcp' ? configureByDhcp(cards, context) : configureStatic(cards, context)
    },
    { isTransient: (error) => error instanceof NotYet, say, signal },
  )
}

/** What may come: a driver that is loading, a cable, a DHCP server. */
class NotYet extends Error {}

/** The cards to try: the named one, or all, with the one that the machine was booted from first. */
export function chooseCards(
  cards: readonly NetworkCard[],
  { parameters, bootMac }: Pick<NetworkContext, 'parameters' | 'bootMac'>,
): readonly NetworkCard[] {
  const wanted = parameters.interface
  if (cards.length === 0) {
    throw new NotYet('No network card: is its driver in the kernel of the image?')
  }
  if (wanted === undefined) {
    return cards.toSorted((a, b) => Number(b.mac === bootMac) - Number(a.mac === bootMac))
  }
  const chosen = cards.filter(({ name, mac }) => name === wanted || mac === wanted)
  if (chosen.length > 0) return chosen
  const there = cards.map(({ name, mac }) => `${name} (${mac})`).join(', ')
  throw new NotYet(`No network card ${wanted}, as si.interface says: there are ${there}`)
}

async function configureStatic(
  cards: readonly NetworkCard[],
  { parameters, say, signal }: NetworkContext,
): Promise<NetworkFacts> {
  const { ip, gateway, dns } = parameters
  const [card] = cards
  if (card === undefined || ip === 'dhcp') throw new NotYet('No network card')
  const address = `${ip.address}/${ip.prefixLength}`
  await applyAddress(card, { address, gateway, nameServers: dns, domain: '' }, signal)
  say(`network: ${card.name} (${card.mac}) has ${address}, as the parameters say`)
  return { card, address, hostName: undefined }
}

/** Each try of udhcpc sends this many requests, so many seconds apart. */
const REQUESTS = 4
const REQUEST_SECONDS = 2

async function configureByDhcp(
  cards: readonly NetworkCard[],
  { say, signal }: NetworkContext,
): Promise<NetworkFacts> {
  const asked = cards.map(async (card) => ({ card, lease: await askDhcp(card, signal) }))
  const answers = await Promise.all(asked)
  const answer = answers.find(({ lease }) => lease !== undefined)
  if (answer?.lease === undefined) throw new NotYet(await describeSilence(cards))
  const { card, lease } = answer
  await applyAddress(card, lease, signal)
  keepLease(card, lease.address)
  say(`network: ${card.name} (${card.mac}) has ${lease.address} by DHCP`)
  return { card, address: lease.address, hostName: lease.hostName }
}

interface Lease {
  readonly address: string
  readonly gateway: string | undefined
  readonly nameServers: readonly string[]
  readonly domain: string
  readonly hostName: string | undefined
}

async function askDhcp(card: NetworkCard, signal: AbortSignal): Promise<Lease | undefined> {
  const found = `${RUN_DIRECTORY}/dhcp.${card.name}`
  await rm(found, { force: true })
  const tries = ['-n', '-q', '-f', '-t', `${REQUESTS}`, '-T', `${REQUEST_SECONDS}`]
  const args = ['udhcpc', '-i', card.name, ...tries, '-O', 'search', '-s', DHCP_EVENT]
  const { exitCode } = await run('busybox', args, { signal, okExitCodes: [0, 1] })
  return exitCode === 0 ? parseLease(await readFile(found, 'latin1')) : undefined
}

/** KEY=VALUE lines of autoinstall/dhcp-event.sh. The DHCP server is not trusted: what is no address is left out. */
export function parseLease(text: string): Lease {
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? ''
  const addresses = (name: string) =>
    value(name)
      .split(' ')
      .filter((word) => /^\d{1,3}(?:\.\d{1,3}){3}$/.test(word))
  const hostName = value('hostname')
  const domain = value('domain')
  return {
    address: `${addresses('ip')[0] ?? ''}/${Number(value('mask')) || 24}`,
    gateway: addresses('router')[0],
    nameServers: addresses('dns'),
    domain: /^[\w. -]*$/.test(domain) ? domain : '',
    hostName: /^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(hostName) ? hostName : undefined,
  }
}

async function applyAddress(
  { name }: NetworkCard,
  lease: Omit<Lease, 'hostName'>,
  signal: AbortSignal,
): Promise<void> {
  await run('ip', ['address', 'flush', 'dev', name], { signal })
  await run('ip', ['address', 'add', lease.address, 'dev', name], { signal })
  if (lease.gateway !== undefined) {
    const route = ['route', 'replace', 'default', 'via', lease.gateway, 'dev', name]
    await run('ip', route, { signal })
  }
  const search = lease.domain === '' ? [] : [`search ${lease.domain}`]
  const servers = lease.nameServers.map((address) => `nameserver ${address}`)
  await writeFile('/etc/resolv.conf', [...search, ...servers, ''].join('\n'))
}

/** Goes on asking for the same address, so that nobody else gets it; ends with the machine. */
function keepLease(card: NetworkCard, address: string): void {
  const again = ['-r', address.split('/')[0] ?? '', '-s', DHCP_EVENT]
  start('busybox', ['udhcpc', '-f', '-i', card.name, ...again], { stdio: 'ignore' })
}

async function describeSilence(asked: readonly NetworkCard[]): Promise<string> {
  const now = await readNetworkCards()
  const words = asked.map(({ name, mac }) => {
    const isConnected = now.find((card) => card.name === name)?.isConnected === true
    return `${name} (${mac}, ${isConnected ? 'connected' : 'no cable'})`
  })
  return `No answer of a DHCP server on ${words.join(', ')}`
}
