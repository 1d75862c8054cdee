// The installation of a machine that was booted from the network or a medium, from its kernel parameters to
// the deployed disk. Order: parameters → network → time → orders of the server → deployment. Invariant: no
// disk is touched while a parameter is wrong; what waiting can heal is waited for, everything else is thrown.
import type { NodeAnswer } from '../../cluster/cluster.ts'
import { throwIfAborted, type Progress } from '../../core/core.ts'
import type { DeployReport } from '../../deploy/deploy.ts'
import { readMachineUuid } from '../../host/host.ts'
import type { Trust } from '../../pki/pki.ts'
import { untilItWorks } from './back-off.ts'
import { correctClock } from './clock.ts'
import { install } from './install.ts'
import { configureNetwork, type NetworkFacts } from './network.ts'
import { type After, type NodeParameters, type Step } from './parameter-table.ts'
import { bootInterface, parseParameters, type ParameterSources } from './parameters.ts'
import {
  askForOrders,
  askForTime,
  createReporter,
  ServerUnreachable,
  type Orders,
  type Reporter,
} from './server-client.ts'

export interface AutoinstallOptions {
  readonly sources: ParameterSources
  /** When the initramfs was made, in milliseconds since 1970. */
  readonly madeMs: number
  /** Whose signatures count; asked for once the parameters are known. */
  readonly trust: (parameters: NodeParameters) => Promise<Trust>
  readonly threads: number
}

export interface AutoinstallIo {
  readonly progress: Progress
  /** A shell for a person, as si.break asks for; settles with its exit status when it has ended. */
  shell(reason: string): Promise<number>
  /** Called as soon as the parameters are known. */
  onParameters(parameters: NodeParameters): Promise<void>
  /** Called as soon as it is known who this machine is, so that its console can be sent to the server. */
  onReporter(reporter: Reporter): void
}

export interface Installed {
  readonly report: DeployReport
  readonly after: After
}

export async function autoinstall(
  options: AutoinstallOptions,
  io: AutoinstallIo,
  signal: AbortSignal,
): Promise<Installed> {
  const { sources } = options
  const say = (text: string) => io.progress.note(text)
  const learn = async (found: ParameterSources) => {
    const parsed = parseParameters(found)
    await io.onParameters(parsed.parameters)
    if (parsed.fault !== undefined) throw parsed.fault
    return parsed.parameters
  }
  let parameters = await learn(sources)
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
  const trust = await options.trust(parameters)
  const found = await ordersOf(parameters, network, { trust, say, signal })
  const orders = found?.orders
  if (orders !== undefined) {
    parameters = await learn({ ...sources, server: orders.parameters })
  }
  const reporter = createReporter(parameters.server, hostOf(parameters, network, orders), signal)
  io.onReporter(reporter)
  await step('install')
  const after = parameters.after ?? orders?.afterInstall ?? 'reboot'
  const { progress } = io
  const { threads } = options
  const ordersSigner = found?.signer ?? null
  const shell = (reason: string) => io.shell(reason)
  const how = { parameters, orders, ordersSigner, after, trust, threads, progress, reporter, shell }
  const report = await install(how, signal)
  await step('finish')
  return { report, after }
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
  const isTransient = (error: unknown) => error instanceof ServerUnreachable
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

async function ordersOf(
  { server, host }: NodeParameters,
  network: NetworkFacts,
  { trust, say, signal }: Waiting & { readonly trust: Trust },
): Promise<Orders | undefined> {
  if (server === undefined) return undefined
  const name = host ?? network.hostName
  const identity = { mac: network.card.mac, uuid: await readMachineUuid(), name }
  const isTransient = (error: unknown) =>
    error instanceof ServerUnreachable || error instanceof NotToInstall
  const ask = async () => {
    const answer = await askForOrders(server, identity, { trust, signal })
    if (answer?.orders.boot === 'local') throw new NotToInstall(server, answer.orders.host)
    return answer
  }
  const found = await untilItWorks(ask, { isTransient, say, signal })
  found?.notes.forEach(say)
  const orders = found?.orders
  say(
    orders === undefined
      ? `${server} has no orders for ${identity.mac}`
      : `${server} says that this is ${orders.host}, which gets ${orders.image}`,
  )
  return found
}

function hostOf(
  { host }: NodeParameters,
  network: NetworkFacts,
  orders: NodeAnswer | undefined,
): string {
  return orders?.host ?? host ?? network.hostName ?? network.card.mac.replaceAll(':', '-')
}
