// How an installation ends: a report that cannot be delivered, the installed kernel by kexec, seeding on, and a program that
// hangs. Needs root; two minutes without hardware assistance.
import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { guestSystem } from '../lab/guest-system.ts'
import { runOnHost } from '../lab/program-on-host.ts'
import type { MachineDisk } from '../lab/qemu-machine.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { createBootSite, emptyDisk, SI, type BootSite } from './boot-site.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const TWO = { skip, concurrency: 2 }
const MIB = 2 ** 20
const STEP_DEADLINE_MS = 4 * 60_000

const LAYOUT = `disks:
  - name: first
    partitions: [{ number: 1, size: rest, format: ext4, mount: / }]
`
const GRUB = `set default=0
menuentry 'The data' --class gnu-linux {
        insmod ext2
        linux   /boot/vmlinuz root=/dev/nvme0n1p1 ro console=ttyS0 no_timer_check lab=installed
}
menuentry 'Another' {
        linux   /boot/other root=/dev/null
}
`
const INIT = `#!/bin/busybox sh
echo "the disk has started: $(busybox cat /files/hello)"
busybox poweroff -f
`

const clusterText = (network: BootSite['network']) => `defaults:
  image: data
  boot: install
  layout: layout.yaml
hosts:
  late: { mac: "${network.virtual('late').mac}", afterInstall: kexec }
  seeding: { mac: "${network.virtual('seeding').mac}", afterInstall: seed }
  hung: { mac: "${network.virtual('hung').mac}" }
`

test('an installation ends as it was told, whatever happens to the server', TWO, async (t) => {
  await withScope(async (scope) => {
    const site = await createBootSite(scope, {
      machines: ['late', 'seeding', 'hung'],
      cluster: clusterText,
      files: { 'layout.yaml': LAYOUT },
      fillData: (tree) => fillData(scope, tree),
    })
    let failed = 0
    const check = (title: string, body: () => Promise<void>) =>
      t.test(title, () => body().catch((error: unknown) => Promise.reject(((failed += 1), error))))
    await Promise.all([
      check('a hang of the program resets the machine', () => withHang(site)),
      check('by TLS: it seeds on after the server has gone', () => withSeeding(scope, site)),
    ])
    await check('it waits until the server knows, then starts the new kernel', () =>
      withLateReport(scope, site),
    )
    assert.equal(failed, 0, 'checks that failed') // so that the consoles are kept
  })
})

/** Everything by TLS, with a certificate that the server issues to the bare machine. */
async function withSeeding(scope: Scope, site: BootSite): Promise<void> {
  const server = await site.startServer(8080, '--tls', '--issue-to-nodes')
  const machine = await site.boot('seeding', {
    ...{ disks: [await disk(scope, 'seeding')], parameters: '' },
    server: site.url.replace('http:', 'https:'),
  })
  await machine.console.waitFor(/has issued a certificate to this machine/, STEP_DEADLINE_MS)
  await machine.console.waitFor(/data\/\S+ is installed/, STEP_DEADLINE_MS)
  const options = { deadlineMs: STEP_DEADLINE_MS, signal: scope.signal }
  const isLocal = async () => (await site.nodeOf('seeding')).boot === 'local'
  await waitFor('the report of success', isLocal, options)
  await server.stop()
  const torrent = join(scope.directory, 'repository/images/data/latest/image.torrent')
  const root = join(scope.directory, 'fetched')
  const args = ['deploy', '--torrent', torrent, '--root', root]
  const pki = join(scope.directory, 'pki')
  const tls = ['--tls', '--pki', pki, '--certificate', join(pki, 'server.pem')]
  await mkdir(root)
  await runOnHost(scope, site.network('server'), { program: SI, args: [...args, ...tls] })
  assert.equal(await readFile(join(root, 'files/hello'), 'utf8'), 'hello\n')
  await machine.cutPower()
}

/** A second server has the image, so that the first one can be away when the machine wants to report. */
async function withLateReport(scope: Scope, site: BootSite): Promise<void> {
  const knows = await site.startServer()
  const other = ['--peer-port', '6882', '--nodes', join(scope.directory, 'other-nodes')]
  const gives = await site.startServer(8081, ...other)
  const torrent = `${site.url.replace('8080', '8081')}/images/data/img.torrent`
  const parameters = `si.torrent=${torrent} si.break=time,configuration,install,finish`
  const machine = await site.boot('late', { disks: [await disk(scope, 'late')], parameters })
  const see = (pattern: RegExp) => machine.console.waitFor(pattern, STEP_DEADLINE_MS)
  const shellBefore = (step: string) => see(new RegExp(`a shell \\(si\\.break=${step}\\)[^]*# `))
  for (const step of ['time', 'configuration']) {
    await shellBefore(step)
    await machine.type('exit\n')
  }
  await shellBefore('install')
  await knows.stop()
  await machine.type('exit\n')
  await see(/data\/\S+ is installed, in /)
  await see(/No answer of \S+:8080: .*; trying again in 2\.0 s/)
  assert.doesNotMatch(await machine.console.text(), /si: kexec$/m, 'it waits for the server')
  await gives.stop()
  await site.startServer()
  await shellBefore('finish')
  assert.doesNotMatch(await machine.console.text(), /si: kexec$/m, 'it waits for its person')
  await machine.type('exit\n')
  await see(/si: kexec$/m)
  await see(/Command line: root=\/dev\/nvme0n1p1 .*lab=installed/)
  await see(/the disk has started: hello/)
  await machine.exited
  const { boot, report } = await site.nodeOf('late')
  assert.deepEqual([boot, report?.phase], ['local', 'done'])
  const log = await readFile(join(scope.directory, 'nodes/late/log'), 'utf8')
  assert.match(log, /si: phases: .*writing/, "the server has the machine's console")
}

async function withHang(site: BootSite): Promise<void> {
  const parameters = 'si.break=network si.watchdog=30s'
  const machine = await site.boot('hung', { disks: [], parameters })
  const see = (pattern: RegExp) => machine.console.waitFor(pattern, STEP_DEADLINE_MS)
  await see(/a shell \(si\.break=network\)[^]*# /)
  await machine.type('kill -STOP $PPID\n')
  await see(/si: no sign of life for 30 s: reboot/)
  await machine.exited
}

async function disk(scope: Scope, name: string): Promise<MachineDisk> {
  return { file: await emptyDisk(scope, name, 300 * MIB), bus: 'nvme', serial: name }
}

/** A kernel, an entry of GRUB for it, and enough to start. */
async function fillData(scope: Scope, tree: string): Promise<void> {
  const { kernel } = await guestSystem(scope, () => {})
  const put = async (from: string, to: string) => {
    await mkdir(dirname(join(tree, to)), { recursive: true })
    await copyFile(from, join(tree, to))
  }
  await put(kernel, 'boot/vmlinuz')
  await put('/usr/bin/busybox', 'bin/busybox')
  const { stdout } = await run('ldd', ['/usr/bin/busybox'])
  for (const [library] of stdout.matchAll(/\/\S+/g)) await put(library, library)
  await mkdir(join(tree, 'boot/grub'), { recursive: true })
  for (const name of ['dev', 'proc', 'sys']) await mkdir(join(tree, name))
  await writeFile(join(tree, 'boot/grub/grub.cfg'), GRUB)
  await mkdir(join(tree, 'sbin'))
  await writeFile(join(tree, 'sbin/init'), INIT)
  await chmod(join(tree, 'sbin/init'), 0o755)
}
