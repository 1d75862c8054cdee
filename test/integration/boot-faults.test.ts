// What machines show, and the server hears, when something is wrong at boot: each fault is named with its cause and its
// remedy, on the console and in the API, before any disk is touched. Needs root; two minutes without hardware assistance.
import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { test } from 'node:test'
import type { Machine, MachineDisk } from '../lab/qemu-machine.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { createBootSite, emptyDisk, type BootSite } from './boot-site.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
/** Machines at the same time: as many as there are processors for them. */
const TWO = { skip, concurrency: 2 }
const MIB = 2 ** 20
/** Emulated machines on a busy host. */
const STEP_DEADLINE_MS = 4 * 60_000

const ROOT = `disks:
  - name: first
    partitions: [{ number: 1, size: 500MiB, format: ext4, mount: / }]
`
/** A word that is wrong would be found by the server, which reads layouts with cluster.yaml. */
const WRONG = ROOT.replace('mount: /', 'mount: /srv')

const clusterText = (network: BootSite['network']) => `defaults:
  image: data
  boot: install
  layout: root.yaml
hosts:
  nodisk: { mac: "${network.virtual('nodisk').mac}" }
  small: { mac: "${network.virtual('small').mac}" }
  wrong: { mac: "${network.virtual('wrong').mac}", layout: wrong.yaml }
  uefi: { mac: "${network.virtual('uefi').mac}", image: kernel }
`

test('a machine with a fault says what and why, and leaves its disks alone', TWO, async (t) => {
  await withScope(async (scope) => {
    const site = await createBootSite(scope, {
      machines: ['nodisk', 'small', 'wrong', 'uefi', 'typo'],
      cluster: clusterText,
      files: { 'root.yaml': ROOT, 'wrong.yaml': WRONG },
      localConfiguration: 'failure=poweroff\nfailure-delay=1s\n',
    })
    let failed = 0
    const check = (title: string, body: () => Promise<void>) =>
      t.test(title, () => body().catch((error: unknown) => Promise.reject(((failed += 1), error))))
    await Promise.all([
      check('no DHCP server, no image server, and no disk', () => withoutDisk(site)),
      check('a misspelt parameter; a shell where one is asked for', () => withTypingError(site)),
    ])
    await Promise.all([
      check('a disk that is too small, and a clock of 2001', () => withSmallDisk(scope, site)),
      check('a layout with a fault', () => withWrongLayout(scope, site)),
      check('an image without GRUB for its firmware', () => withWrongImage(scope, site)),
    ])
    assert.equal(failed, 0, 'checks that failed') // so that the consoles are kept
  })
})

async function withoutDisk(site: BootSite): Promise<void> {
  const machine = await site.boot('nodisk', { disks: [], isByDhcp: true, parameters: '' })
  const see = (pattern: RegExp) => machine.console.waitFor(pattern, STEP_DEADLINE_MS)
  await see(/No answer of a DHCP server on eth0 \(\S+, connected\); trying again in 2\.0 s/)
  site.startDhcp()
  await see(/network: eth0 \(\S+\) has 10\.77\.0\.\d+\/24 by DHCP/)
  await see(/No answer of http:\/\/10\.77\.0\.1:8080: .*ECONNREFUSED.*; trying again in 2\.0 s/)
  await site.startServer()
  await see(/says that this is nodisk, which gets data/)
  await failsWith(site, machine, [/this machine has no disk/, /Check its cables/])
}

async function withTypingError(site: BootSite): Promise<void> {
  const parameters = 'si.shell si.imgae=data si.ip=10.0.0.7'
  const machine = await site.boot('typo', { disks: [], isByDhcp: true, parameters })
  const see = (pattern: RegExp) => machine.console.waitFor(pattern, STEP_DEADLINE_MS)
  await see(/kernel parameter si\.imgae: unknown parameter "imgae": did you mean "image"\?/)
  await see(/kernel parameter si\.ip: .*it must be dhcp or an address with its prefix length/)
  await see(/a shell \(after it the machine reboots\)[^]*# /)
  await machine.type('echo "rescued $((6 * 7))"\nexit\n')
  await see(/rescued 42/)
  await machine.exited
}

async function withSmallDisk(scope: Scope, site: BootSite): Promise<void> {
  const disks = [await disk(scope, 'small', 64 * MIB)]
  const machine = await site.boot('small', { disks, clock: '2001-01-01', parameters: '' })
  await machine.console.waitFor(/clock was off by .*, now it is 20[2-9]\d-/, STEP_DEADLINE_MS)
  await failsWith(site, machine, [/\/dev\/nvme0n1/, /64\.0 MiB/])
}

async function withWrongLayout(scope: Scope, site: BootSite): Promise<void> {
  const disks = [await disk(scope, 'wrong', 1000 * MIB)]
  const machine = await site.boot('wrong', { disks, parameters: '' })
  await failsWith(site, machine, [/the layout of wrong: line 1: .*nothing is mounted on \//])
  await isEmpty(disks)
}

async function withWrongImage(scope: Scope, site: BootSite): Promise<void> {
  const disks = [await disk(scope, 'uefi', 3000 * MIB)]
  const machine = await site.boot('uefi', { disks, parameters: '' })
  await failsWith(site, machine, [/the image has no GRUB for BIOS/, /Install grub-pc-bin/])
  await isEmpty(disks)
}

/** NVMe is built into the kernel, so the disk is there as soon as it has started. */
async function disk(scope: Scope, name: string, sizeBytes: number): Promise<MachineDisk> {
  return { file: await emptyDisk(scope, name, sizeBytes), bus: 'nvme', serial: name }
}

async function failsWith(
  site: BootSite,
  machine: Machine,
  words: readonly RegExp[],
): Promise<void> {
  await machine.console.waitFor(/si: FAILED: [^]*power off/, STEP_DEADLINE_MS)
  await machine.exited
  const [, text = ''] = (await machine.console.text()).split('si: FAILED: ')
  const { boot, report } = await site.nodeOf(machine.name)
  for (const word of words) {
    assert.match(text, word, 'on the console')
    assert.match(`${report?.error}; ${report?.hint}`, word, 'in the API')
  }
  assert.equal(report?.phase, 'failed')
  assert.equal(boot, 'install', 'it will try again')
}

async function isEmpty(disks: readonly MachineDisk[]): Promise<void> {
  for (const { file } of disks) {
    await using handle = await open(file)
    const { buffer } = await handle.read(Buffer.alloc(MIB), 0, MIB, 0)
    assert.ok(
      buffer.every((byte) => byte === 0),
      `nothing was written to ${file}`,
    )
  }
}
