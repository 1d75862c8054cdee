// What goes wrong with a whole machine: its power fails half-way, its disk, a script. QEMU loads kernel and initramfs, which saves
// the minute that firmware and iPXE take; the image is little more than data, so there is hardly anything to finish. Each
// fault is shown on the console and told to the server.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeBulkContent } from '../lab/golden-content.ts'
import * as lab from '../lab/lab.ts'
import type { NodeStatus } from '../integration/boot-site.ts'
import { makeTinySystem } from '../lab/tiny-system.ts'
import {
  askServer,
  KERNEL_PARAMETERS,
  makeEmptyDisk,
  SCRIPT_OUTPUT,
  type LabSite,
} from './lab-site.ts'

const MIB = 2 ** 20
const DISK_BYTES = 400 * MIB
const STEP_DEADLINE_MS = 6 * 60_000
/** After as many writes a disk fails for good: the file system is made then, and some of the data written. */
const WRITES_BEFORE_DEATH = 70

const LAYOUT = `disks:
  - name: vda
    partitions: [{ number: 1, size: rest, format: ext4, label: data, mount: / }]
`

/** The image of data: 37 MiB that do not compress, and what a script needs to run. */
export async function captureData({ below, si }: LabSite): Promise<void> {
  await makeTinySystem(below('data'))
  await writeBulkContent(below('data/srv'))
  await writeFile(below('data.yaml'), LAYOUT)
  await si('getimage', '--root', below('data'), '--name', 'data')
}

/** The second installation fetches what the first one had not yet written, and no more. */
export async function losePower(site: LabSite): Promise<void> {
  const { scope } = site
  const disk = await makeEmptyDisk(site, { name: 'unplugged', sizeBytes: DISK_BYTES })
  const slow = 'si.download-limit=1MiB/s'
  const first = await boot(site, 'unplugged', { disk, log: 'unplugged', parameters: slow })
  await first.console.waitFor(/si: writing .* \([4-8]\d %\)/, STEP_DEADLINE_MS)
  await first.cutPower()
  const before = await sentBytes(scope)
  const second = await boot(site, 'unplugged', { disk, log: 'unplugged-again', parameters: '' })
  const goingOn = /si: going on: (\d+) pieces are there already/
  const [, pieces] = await second.console.waitFor(goingOn, STEP_DEADLINE_MS)
  await second.console.waitFor(/si: data\/\S+ is installed/, STEP_DEADLINE_MS)
  await second.exited
  const image = JSON.parse(await site.si('lsimage', 'data', '--json')) as ImageFacts
  const missing = image.packBytes - Number(pieces) * image.pieceLengthBytes
  const sent = (await sentBytes(scope)) - before
  assert.ok(Number(pieces) >= 5, `${pieces} pieces were kept`)
  assert.ok(sent < missing + 4 * MIB, `the server sent ${sent} bytes, ${missing} were missing`)
}

/** From some write on each one fails, as with disks that have no spare sectors left. */
export async function loseDisk(site: LabSite): Promise<void> {
  const faults = site.below('dying.blkdebug')
  await writeFile(faults, failAfter(WRITES_BEFORE_DEATH))
  const empty = await makeEmptyDisk(site, { name: 'dying', sizeBytes: DISK_BYTES })
  const disk = { ...empty, faults }
  // Slowly, so that data is written in many parts.
  const parameters = 'si.download-limit=4MiB/s'
  const machine = await boot(site, 'dying', { disk, log: 'dying', parameters })
  await machine.console.waitFor(/si: writing /, STEP_DEADLINE_MS)
  await failsWith(site, machine, { host: 'dying', words: [/vda/, /EIO/, /replace it/] })
}

/** By default a script that fails stops the installation; the machine tries again at its next boot. */
export async function failByScript(site: LabSite): Promise<void> {
  const disk = await makeEmptyDisk(site, { name: 'scripted', sizeBytes: DISK_BYTES })
  const machine = await boot(site, 'scripted', { disk, log: 'scripted', parameters: '' })
  await failsWith(site, machine, { host: 'scripted', words: [/fail\.sh/, /status 7/] })
  const text = await machine.console.text()
  assert.ok(text.includes(SCRIPT_OUTPUT), 'what the script said is on the console')
}

/** Rules of QEMU's blkdebug: one state for each write, in the last of which all fail. */
function failAfter(writes: number): string {
  const count = (state: number) =>
    `[set-state]\nevent = "write_aio"\nstate = "${state}"\nnew_state = "${state + 1}"\n`
  const states = Array.from({ length: writes }, (_, index) => count(index + 1))
  const last = `[inject-error]\nevent = "write_aio"\nstate = "${writes + 1}"\nerrno = "5"\n`
  return [...states, last].join('\n')
}

interface BootOptions {
  readonly disk: lab.MachineDisk
  /** Begins the name of its log. */
  readonly log: string
  readonly parameters: string
}

function boot(site: LabSite, name: string, options: BootOptions): Promise<lab.Machine> {
  const network = site.network.virtual(name)
  const own = [`si.server=${site.url}`, `si.ip=${network.address}/24`]
  const end = ['si.failure=poweroff', 'si.failure-delay=1s', options.parameters]
  const below = (file: string) => site.below(join('boot/golden01', file))
  return lab.startMachine(site.scope, {
    ...{ name: options.log, network, memoryMiB: 1536, disks: [options.disk] },
    kernel: {
      file: below('vmlinuz'),
      initramfs: below('initrd.img'),
      parameters: [KERNEL_PARAMETERS, ...own, ...end].join(' '),
    },
  })
}

/** The machine ends with a failure that says the same on its console and in the server's API. */
async function failsWith(
  site: LabSite,
  machine: lab.Machine,
  { host, words }: { readonly host: string; readonly words: readonly RegExp[] },
): Promise<void> {
  await machine.console.waitFor(/si: FAILED: /, STEP_DEADLINE_MS)
  await machine.exited
  const [, text = ''] = (await machine.console.text()).split('si: FAILED: ')
  const { report, boot } = await askServer<NodeStatus>(site, `/v1/nodes/${host}`)
  for (const word of words) {
    assert.match(text, word, 'on the console')
    assert.match(`${report?.error}\n${report?.hint}`, word, 'in the API')
  }
  assert.deepEqual([report?.phase, boot], ['failed', 'install'])
}

interface ImageFacts {
  readonly packBytes: number
  readonly pieceLengthBytes: number
}

async function sentBytes(scope: lab.Scope): Promise<number> {
  return (await lab.readCables(scope)).get('server')?.sentBytes ?? 0
}
