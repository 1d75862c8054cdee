// The proof of the whole: a running golden machine is captured over ssh; two machines with empty disks, one with a BIOS and one with
// UEFI, boot from the network, install themselves at the same time through the swarm, and start their own disks. Nobody touches
// them. `npm run e2e` runs this alone. Needs root; about six minutes without hardware assistance.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import * as lab from '../lab/lab.ts'
import { followInstallation, formatPhases, type PhaseTime } from './install-phases.ts'
import { findDifferences, readDisk } from './lab-compare.ts'
import { captureData, failByScript, loseDisk, losePower } from './lab-faults.ts'
import { captureGolden, startGoldenMachine, switchOff, type GoldenMachine } from './lab-golden.ts'
import {
  askServer,
  createSite,
  makeEmptyDisk,
  NODES,
  OVERRIDE_TEXT,
  prepareInstallation,
  serve,
  type LabNode,
  type LabSite,
} from './lab-site.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
/** Of each phase; the longest takes a minute where nothing else runs. */
const PHASE_DEADLINE_MS = 6 * 60_000
const MEMORY_MIB = 1536

interface NodeStatus {
  readonly host: string
  readonly boot: string
  readonly report: { readonly phase: string; readonly message: string } | null
}

interface RunningNode extends LabNode {
  readonly disk: lab.MachineDisk
  readonly machine: lab.Machine
  readonly times: readonly PhaseTime[]
  readonly ssh: (command: string) => Promise<string>
}

test('bare machines become the golden machine, and nobody touches them', { skip }, async (t) => {
  await lab.withScope(async (scope) => {
    const startMs = performance.now()
    const say = (text: string) => {
      const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
      process.stderr.write(`lab: ${seconds.padStart(4)} s  ${text}\n`)
    }
    const site = await createSite(scope, say)
    let golden!: GoldenMachine
    let nodes!: readonly RunningNode[]
    await step(t, 'si-getimage captures a running machine over ssh', async () => {
      golden = await startGoldenMachine(site)
      await captureGolden(site, golden)
      await switchOff(site, golden)
    })
    await step(t, 'two machines boot, install themselves and start their disks', async () => {
      await captureData(site)
      await prepareInstallation(site)
      await serve(site)
      nodes = await Promise.all(NODES.map((node) => installNode(site, golden, node)))
      for (const line of formatPhases(nodes)) say(line)
    })
    for (const node of nodes)
      await step(t, `${node.name} is a machine of its own`, () => checkIdentity(site, node))
    await step(t, 'si-server knows that they are installed', () => checkReports(site))
    await step(t, 'every other file is as on the golden machine', () =>
      compare(site, golden, nodes),
    )
    await t.test('a machine that lost its power goes on where it was', () => losePower(site))
    await t.test('a script that fails stops the installation', () => failByScript(site))
    await t.test('a disk that fails half-way is named with its cause', () => loseDisk(site))
  })
})

/** A failure ends the whole: what follows builds upon it. */
async function step(t: TestContext, name: string, body: () => Promise<void>): Promise<void> {
  let failure: unknown
  await t.test(name, async () => {
    await body().catch((error: unknown) => {
      failure = error
      throw error
    })
  })
  if (failure !== undefined) throw new Error(`Failed: ${name}`, { cause: failure })
}

/** Switched on with an empty disk; there to be logged in at the end. */
async function installNode(
  site: LabSite,
  golden: GoldenMachine,
  node: LabNode,
): Promise<RunningNode> {
  const { scope, network, server } = site
  const { name, firmware, diskBytes } = node
  const host = network.virtual(name)
  const disk = await makeEmptyDisk(site, { name, sizeBytes: diskBytes })
  // The BIOS asks the network each time, where the server sends it to its disk. The UEFI finds nothing on its disk at first.
  const bootFirst = firmware === 'bios' ? 'network' : 'disk'
  const how = { network: host, bootFirst, memoryMiB: MEMORY_MIB } as const
  const machine = await lab.startMachine(scope, { name, firmware, disks: [disk], ...how })
  const installed = await followInstallation(machine, PHASE_DEADLINE_MS)
  const startMs = performance.now()
  const target = { from: server, host, access: golden.disk.access }
  await lab.waitForSsh(scope, { machine, target, deadlineMs: PHASE_DEADLINE_MS })
  const reboot = { phase: 'reboot → ssh', durationMs: performance.now() - startMs }
  const ssh = (command: string) => lab.runOverSsh(scope, target, command)
  return { ...node, disk, machine, times: [...installed, reboot], ssh }
}

/** What each machine has for itself, asked of the machine. */
async function checkIdentity(site: LabSite, node: RunningNode): Promise<void> {
  const { name, firmware, ssh } = node
  const is = async (command: string, pattern: RegExp) =>
    assert.match(await ssh(command), pattern, `${name}: ${command}`)
  await is('uname -n; cat /etc/hostname', new RegExp(`^${name}\n${name}\n$`))
  await is('cat /etc/issue', new RegExp(`^${OVERRIDE_TEXT}\n$`))
  await is('cat /etc/marked', new RegExp(`^${name} ${firmware}\n$`))
  await is('test -d /sys/firmware/efi && echo uefi || echo bios', new RegExp(`^${firmware}\n$`))
  await is('findmnt -no FSTYPE /; findmnt -no FSTYPE /boot/efi', /^ext4\nvfat\n$/)
  await is('cat /proc/swaps', /\/dev\/vda/)
  await is('systemctl --failed --plain --no-legend', /^$/)
  await is('ip -4 -o addr show up', new RegExp(`${site.network.virtual(name).address}/24`))
  await is('cat /proc/cmdline', /BOOT_IMAGE=\S+ root=UUID=/)
}

async function checkReports(site: LabSite): Promise<void> {
  const nodes = await askServer<readonly NodeStatus[]>(site, '/v1/nodes')
  const told = nodes
    .slice(0, NODES.length)
    .map(({ host, boot, report }) => [host, boot, report?.phase, report?.message])
  const [version = ''] = (await site.si('lsimage', 'golden01')).match(/\d{8}-\d{6}/) ?? []
  assert.deepEqual(
    told.map((words) => words.join(' ').replace(/, in .*/, '')),
    NODES.map(({ name }) => `${name} local done golden01/${version} is installed`),
  )
  for (const { name } of NODES) {
    const log = await readFile(join(site.below('nodes'), name, 'log'), 'utf8')
    assert.match(log, /si: finishing, boot loader/)
  }
}

async function compare(
  site: LabSite,
  golden: GoldenMachine,
  nodes: readonly RunningNode[],
): Promise<void> {
  const original = await readDisk(site, { name: 'golden01', ...golden.disk })
  for (const { name, firmware, machine, disk, diskBytes, ssh } of nodes) {
    await ssh('sync')
    await machine.cutPower()
    const files = await readDisk(site, { name, file: disk.file, sizeBytes: diskBytes })
    assert.deepEqual(await findDifferences(site, original, { ...files, firmware }), [], name)
  }
}
