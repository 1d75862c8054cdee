// The installation of a machine that was booted from the network or a medium, from its kernel parameters to
// the deployed disk. Order: parameters → network → time → orders of the server → deployment. Invariant: no
// disk is touched while a parameter is wrong; what waiting can heal is waited for, everything else is thrown.
import type { NodeAnswer } from '../../cluster/cluster.ts'
import { throwIfAborted, type Progress } from '../../core/core.ts'
import { readMachineUuid } from '../../host/host.ts'
import { loadTrust, type Trust } from '../../pki/pki.ts'
import { untilItWorks } from './back-off.ts'
import { correctClock } from './clock.ts'
import { enrol, type Enrolled, type EnrolmentOptions } from './enrolment.ts'
import { install } from './install.ts'
import { configureNetwork } from './network.ts'
import { type After, type NodeParameters, type Step } from './parameter-table.ts'
import { bootInterface, parseParameters, type ParameterSources } from './parameters.ts'
import { createReporter, type Reporter } from './reporter.ts'
import { askForOrders, askForTime, type NodeIdentity } from './server-client.ts'
import { ServerUnreachable, type ImageServer } from './server-request.ts'

export interface AutoinstallOptions {
  readonly sources: ParameterSources
  /** When the initramfs was made, in milliseconds since 1970. */
  readonly madeMs: number
  /** PEM files with the authorities whose signatures, and servers, count. */
  readonly trustFiles: readonly string[]
  readonly threads: number
}

export interface AutoinstallIo {
  readonly progress: Progress
  /** A shell for a person, as si.break asks for; settles with its exit status when it has ended. */
  shell(reason: string): Promise<number>
  /** Called as soon as the parameters are known. */
  onParameters(parameters: NodeParameters): Promise<void>
  /** Called when it is known who this machine is, so that its console and its faults go to the server. */
  onReporter(reporter: Reporter): void
}

/** How the machine is to end; the kernel for `kexec` is loaded. */
export async function autoinstall(
  options: AutoinstallOptions,
  io: AutoinstallIo,
  signal: AbortSignal,
): Promise<After> {
  const { sources } = options
  const say = (text: string) => io.progress.note(text)
  let parameters = await learn(sources, io)
  const step = async (name: Step) => {
    throwIfAborted(signal)
    if (parameters.break.includes(name)) await io.shell(`si.break=${name}`)
  }
  await step('network')
  const bootMac = bootInterface(sources.commandLine)
  const network = await configureNetwork({ parameters, bootMac, say, signal })
  await step('time')
  await setClock(parameters.server, options.madeMs, { say, signal })
  await step('configuration')
  const { server: url, host = network.hostName } = parameters
  const identity = { mac: network.card.mac, uuid: await readMachineUuid(), name: host }
  const waiting = { say, signal }
  const { trustFiles, threads } = options
  const link = await connect(url, { identity, trustFiles, ...waiting })
  const { credentials, crlFiles } = link
  try {
    const allowUnsigned = parameters['allow-unsigned']
    const trust = await loadTrust({ trustFiles, crlFiles, allowUnsigned })
    const heard = await hearOrders(link.server, identity, { trust, io, ...waiting })
    const { orders } = heard
    if (orders !== undefined) {
      parameters = await learn({ ...sources, server: orders.parameters }, io)
    }
    await step('install')
    const after = parameters.after ?? orders?.afterInstall ?? 'reboot'
    const security = credentials && { credentials, allowsPlain: false }
    const what = { ...heard, parameters, after, trust, security, threads }
    const shell = (reason: string) => io.shell(reason)
    const ending = await install({ ...what, progress: io.progress, shell }, signal)
    await step('finish')
    return ending
  } finally {
    credentials?.close()
  }
}

/** In memory. */
const CREDENTIALS_DIRECTORY = '/run/swarmimager/pki'

const isTransient = (error: unknown) =>
  error instanceof ServerUnreachable || error instanceof NotToInstall

async function learn(sources: ParameterSources, io: AutoinstallIo): Promise<NodeParameters> {
  const { parameters, fault } = parseParameters(sources)
  await io.onParameters(parameters)
  if (fault !== undefined) throw fault
  return parameters
}

interface Waiting {
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

async function setClock(
  server: string | undefined,
  madeMs: number,
  { say, signal }: Waiting,
): Promise<void> {
  const serverMs =
    server === undefined
      ? undefined
      : await untilItWorks(() => askForTime(server, signal), { isTransient, say, signal })
  await correctClock({ serverMs, ownMs: Date.now(), madeMs }, say)
}

/** Only a medium boots into here regardless of what the server wants: after an installation, as long as nobody takes it out. */
class NotToInstall extends Error {
  constructor(server: string, host: string) {
    super(
      `${server} says that ${host} starts its own disk: take the medium out, or run si-netboot ${host} install`,
    )
  }
}

/** With an https server, this machine gets a certificate first. */
async function connect(
  url: string | undefined,
  how: Omit<EnrolmentOptions, 'directory'>,
): Promise<Partial<Enrolled> & { server: ImageServer | undefined; crlFiles: readonly string[] }> {
  if (url === undefined) return { server: undefined, crlFiles: [] }
  if (!url.startsWith('https:')) return { server: { url }, crlFiles: [] }
  const { credentials, crlFiles } = await untilItWorks(
    () => enrol(url, { directory: CREDENTIALS_DIRECTORY, ...how }),
    {
      isTransient,
      ...how,
    },
  )
  return { server: { url, callOptions: () => credentials.callOptions() }, credentials, crlFiles }
}

interface Heard {
  readonly orders: NodeAnswer | undefined
  /** Who signed them; null: nobody. */
  readonly ordersSigner: string | null
  /** For the host that they are for. */
  readonly reporter: Reporter
}

/** What is wrong with the orders is reported, too, as far as the machine's name is known before. */
async function hearOrders(
  server: ImageServer | undefined,
  identity: NodeIdentity,
  how: Waiting & { readonly trust: Trust; readonly io: AutoinstallIo },
): Promise<Heard> {
  const { trust, say, signal, io } = how
  const early = createReporter(server, identity.name, how)
  const nothing = { orders: undefined, ordersSigner: null, reporter: early }
  if (server === undefined) return nothing
  if (identity.name !== undefined) io.onReporter(early)
  const ask = async () => {
    const answer = await askForOrders(server, identity, { trust, signal })
    if (answer?.orders.boot === 'local') throw new NotToInstall(server.url, answer.orders.host)
    return answer
  }
  const found = await untilItWorks(ask, { isTransient, say, signal })
  if (found === undefined) {
    say(`${server.url} has no orders for ${identity.mac}`)
    return nothing
  }
  const { orders, signer, notes } = found
  notes.forEach(say)
  say(`${server.url} says that this is ${orders.host}, which gets ${orders.image}`)
  const isOther = orders.host !== identity.name
  const reporter = isOther ? createReporter(server, orders.host, how) : early
  if (isOther) io.onReporter(reporter)
  return { orders, ordersSigner: signer, reporter }
}
