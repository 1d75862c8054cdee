// Runs a command inside of a virtual machine whose kernel has what the machine's own may lack: md,
// device-mapper, vfat, cgroup v2 under systemd. The project is there at the same path, with what is
// written to it kept in the guest's memory; so is the lab's cache folder, to be read.
//
// A test that needs such a kernel lies in test/guest. It is written like any other, uses the lab's
// doors (withScope, createLoopDisk …), is root, and finds four empty disks of 4 GiB beside:
// /dev/vda to /dev/vdd, and 1.5 GiB of memory. `npm test` runs all of test/guest in one guest;
//   node test/run.ts guest raid                 runs those with "raid" in their path, and
//   npm run guest -- node test/run.ts unit tar  any command. Programs that a test needs are listed
// in guest-system.ts. Emulation makes everything 10 to 20 times slower: keep the data small.
import { createServer } from 'node:net'
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { cacheDirectory } from './debian-tree.ts'
import { guestSystem } from './guest-system.ts'
import { startMachine, type Machine, type MachineDisk } from './qemu-machine.ts'
import { type Scope } from './scope.ts'
import { within } from './within.ts'

export interface GuestCommand {
  /** Run in the project's folder, with the pinned Node first in PATH. */
  readonly command: readonly string[]
  readonly deadlineMs: number
  /** Called with each line of the command's output, both standard ones. */
  readonly onLine: (line: string) => void
  /** What takes long before the command starts. */
  readonly say: (text: string) => void
}

const MEMORY_MIB = 2048
const EMPTY_DISKS = 4
const EMPTY_DISK_BYTES = 4 * 2 ** 30
const PROJECT = join(import.meta.dirname, '../..')
/** Units of systemd that nobody waits for in a machine that lives for one command. */
const MASKED = [
  'e2scrub_reap',
  'lvm2-monitor',
  'systemd-timesyncd',
  'ssh',
  'dbus',
  'systemd-logind',
]
const PARAMETERS = [
  ...['root=/dev/nvme0n1', 'rootfstype=ext4', 'rw', 'console=ttyS0', 'loglevel=4'],
  ...['mitigations=off', 'systemd.unit=lab-guest.service', 'systemd.show_status=false'],
  // Another program's load makes emulated seconds short.
  'systemd.default_timeout_start_sec=900',
  ...MASKED.map((unit) => `systemd.mask=${unit}.service`),
].join(' ')

/**
 * V8 compiles WebAssembly twice, and under emulation it has died in the change from one code to the other (node uses
 * WebAssembly to read TypeScript): "Check failed: it->second.Size() > offset" in WasmTriggerTierUp.
 */
const NODE_FLAGS = '--liftoff-only'

/** Runs a command in a guest of its own; its exit status. Throws when the guest dies. */
export async function runInGuest(scope: Scope, command: GuestCommand): Promise<number> {
  const system = await guestSystem(scope, command.say)
  const share = join(scope.directory, 'guest')
  await mkdir(share)
  await writeFile(join(share, 'main'), guestScript(command.command))
  const output = join(scope.directory, 'guest-output.sock')
  const { finished } = await listenForLines(scope, output, command.onLine)
  const root = { file: system.disk, bus: 'nvme', serial: 'root', isSnapshot: true } as const
  const machine = await startMachine(scope, {
    name: 'guest',
    memoryMiB: MEMORY_MIB,
    disks: [root, ...(await makeEmptyDisks(scope))],
    kernel: { file: system.kernel, parameters: PARAMETERS },
    folders: [
      { tag: 'lab', path: share, cache: 'none' },
      { tag: 'project', path: PROJECT, cache: 'always' },
      { tag: 'cache', path: cacheDirectory(), cache: 'always' },
    ],
    output,
  })
  const what = `the end of "${command.command.join(' ')}" in the guest`
  await within(machine.exited, what, command.deadlineMs)
  await finished
  return readStatus(join(share, 'status'), machine)
}

async function readStatus(file: string, machine: Machine): Promise<number> {
  const status = await readFile(file, 'utf8').catch(() => undefined)
  if (status !== undefined && /^\d+\n$/.test(status)) return Number(status)
  const lastLines = await machine.console.lastLines()
  throw new Error(`The guest ended before its command; its console:\n${lastLines}`)
}

/** The command's words reach the shell as they are, whatever they hold. */
function guestScript(command: readonly string[]): string {
  const words = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const cache = cacheDirectory()
  return `
set -eu
mount --make-rprivate /
mkdir -p /run/below /run/above '${PROJECT}' '${cache}'
mount -t virtiofs -o ro project /run/below
mount -t tmpfs tmpfs /run/above
mkdir /run/above/upper /run/above/work
mount -t overlay -o lowerdir=/run/below,upperdir=/run/above/upper,workdir=/run/above/work \\
  overlay '${PROJECT}'
mount -t virtiofs -o ro cache '${cache}'
modprobe -a loop fuse
mkdir /run/above/bin
cat >/run/above/bin/node <<'END'
#!/bin/sh
exec '${PROJECT}/node_modules/.bin/node' ${NODE_FLAGS} "$@"
END
chmod +x /run/above/bin/node
ip link set lo up
cd '${PROJECT}'
export CI=true SI_LAB_GUEST=1 HOME=/root
export PATH="/run/above/bin:${PROJECT}/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
status=0
${words} </dev/null >/dev/virtio-ports/lab.output 2>&1 || status=$?
echo "$status" >/run/lab/status
`
}

async function makeEmptyDisks(scope: Scope): Promise<MachineDisk[]> {
  const disks: MachineDisk[] = []
  for (let number = 1; number <= EMPTY_DISKS; number += 1) {
    const file = join(scope.directory, `guest-empty${number}`)
    await writeFile(file, '')
    await truncate(file, EMPTY_DISK_BYTES)
    disks.push({ file, bus: 'virtio', serial: `empty${number}` })
  }
  return disks
}

/** Listens for the guest's output; `finished` settles once all of it has been read. */
async function listenForLines(
  scope: Scope,
  path: string,
  onLine: (line: string) => void,
): Promise<{ readonly finished: Promise<void> }> {
  const finished = Promise.withResolvers<void>()
  const server = createServer((socket) => {
    socket.on('error', () => {}) // reset when QEMU is killed
    createInterface({ input: socket }).on('line', onLine).on('close', finished.resolve)
  })
  scope.defer(`socket ${path}`, () => Promise.resolve(server.close()))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve)
  })
  return { finished: finished.promise }
}
