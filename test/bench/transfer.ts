// One transfer between two programs, measured alike for all: from the first payload on the wire until
// the getter says that it has and has verified all. How long a client takes to start, to find its peer
// and to be let in is told apart. CPU time and memory are the kernel's account of each whole process.
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type ClientProcess, type GettingClient } from '../lab/foreign/torrent-client.ts'
import { within } from '../lab/within.ts'
import { readProcessAccount, type ProcessAccount } from './process-account.ts'

export interface Transfer {
  /** From the first payload to the end. */
  readonly seconds: number
  /** From the start of the getter's process to the first payload. */
  readonly waitSeconds: number
  /** CPU time during `seconds`; resident set since the start, pages of mapped files counted. */
  readonly getter: ProcessAccount
  readonly seeder: ProcessAccount
}

/** Handshakes, announces and remote control take less than this, whatever the client. */
const FIRST_PAYLOAD_BYTES = 512 * 1024
const POLL_MS = 2

/** A client that gets nothing for so long never will. */
const START_MS = 60_000
const SLOWEST_BYTES_PER_SECOND = 5e6

/**
 * Measures a getter of `sizeBytes`, which is ended afterwards. Nothing else may use the network that
 * this process is in.
 */
export async function measureTransfer(options: {
  readonly sizeBytes: number
  readonly seeder: ClientProcess
  readonly startGetter: () => Promise<GettingClient>
}): Promise<Transfer> {
  const { seeder, sizeBytes } = options
  const startMs = performance.now()
  const firstPayload = whenReceived((await receivedBytes()) + FIRST_PAYLOAD_BYTES)
  firstPayload.catch(() => {}) // the start of the getter may fail first
  const getter = await options.startGetter()
  const firstMs = await Promise.race([firstPayload, getter.done.then(() => firstPayload)])
  const [getterBefore, seederBefore] = await Promise.all([
    readProcessAccount(getter.pid),
    readProcessAccount(seeder.pid),
  ])
  const deadlineMs = (sizeBytes / SLOWEST_BYTES_PER_SECOND) * 1000 + START_MS
  await within(getter.done, `a transfer of ${sizeBytes} bytes`, deadlineMs)
  const endMs = performance.now()
  const transfer: Transfer = {
    seconds: (endMs - firstMs) / 1000,
    waitSeconds: (firstMs - startMs) / 1000,
    getter: await accountSince(getterBefore, getter),
    seeder: await accountSince(seederBefore, seeder),
  }
  await getter.close()
  return transfer
}

async function accountSince(
  before: ProcessAccount,
  { pid }: ClientProcess,
): Promise<ProcessAccount> {
  const now = await readProcessAccount(pid)
  return { ...now, cpuSeconds: now.cpuSeconds - before.cpuSeconds }
}

/** Resolves with the time at which the loopback interface had received so many bytes in all. */
async function whenReceived(bytes: number): Promise<number> {
  const endMs = performance.now() + START_MS
  while ((await receivedBytes()) < bytes) {
    if (performance.now() > endMs) throw new Error(`No transfer began within ${START_MS / 1000} s`)
    await delay(POLL_MS)
  }
  return performance.now()
}

async function receivedBytes(): Promise<number> {
  const text = await readFile('/proc/self/net/dev', 'utf8')
  return Number(/^\s*lo:\s*(\d+)/m.exec(text)?.[1])
}
