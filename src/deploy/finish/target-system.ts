// Programs of the image run in the deployed tree, which is their whole world: a chroot in mount and process
// namespaces of their own. Invariant: they see the disks of the target and no other, no service manager and no sockets of this
// machine; whatever they mount or leave running is gone as soon as they have ended, however that happens.
import { mkdir } from 'node:fs/promises'
import {
  hasProgram,
  readDeviceNodes,
  run,
  runGroup,
  type DeviceNode,
  type GroupEnd,
  type GroupOptions,
  type RunResult,
} from '../../host/host.ts'
import { SiError } from '../../core/core.ts'
import type { MadeStorage } from '../made-storage.ts'
import type { TargetTree } from './target-tree.ts'

export interface TargetSystem {
  /** Runs a program of the target, as run() does. Throws ERR_SI_PROGRAM_FAILED, ERR_SI_ABORTED. */
  run(program: string, args: readonly string[], options?: TargetRunOptions): Promise<RunResult>
  /**
   * Runs a command of somebody else, as runGroup() does, and says in its output what it left running. `folder` of this
   * machine is seen there at `at`.
   */
  runForeign(
    command: readonly string[],
    options: GroupOptions & { readonly folder: string; readonly at: string },
  ): Promise<GroupEnd>
}

export interface TargetRunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly okExitCodes?: readonly number[]
  /** Mounted for this program alone; folders that are missing are made. */
  readonly mounts?: readonly { readonly device: string; readonly at: string }[]
}

/**
 * Arguments: root, lines for /dev, pairs of device (or --bind=FOLDER) and mount point up to `--`, then the command.
 * /run is empty but for what LVM and mdadm keep there, so that nobody talks to this machine's udev or systemd.
 */
const PREPARE = `
root=$1 nodes=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
efi=/sys/firmware/efi/efivars
if [ -d "$efi" ] && [ -z "$(ls "$efi")" ]; then mount -t efivarfs efivarfs "$root$efi" 2>/dev/null || :; fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/dev/disk/by-uuid" "$root/dev/mapper"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
printf '%s\\n' "$nodes" | while read -r kind path first second; do
  mkdir -p "$root\${path%/*}"
  case $kind in
    c) mknod -m 666 "$root$path" c "$first" "$second" ;;
    b) mknod -m 600 "$root$path" b "$first" "$second" ;;
    l) ln -sf "$first" "$root$path" ;;
  esac
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/lock"
for state in lvm mdadm; do
  if [ -d "/run/$state" ]; then mkdir "$root/run/$state"; mount --bind "/run/$state" "$root/run/$state"; fi
done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  case $1 in
    --bind=*) mount --bind "\${1#--bind=}" "$root$2" ;;
    *) mount "$1" "$root$2" ;;
  esac
  shift 2
done
shift
`

const ENTER = `${PREPARE}exec chroot "$root" "$@"`

/** The first process waits, so that it sees whom the command leaves behind; they end with it. */
const ENTER_AND_LOOK = `${PREPARE}
chroot "$root" "$@" && status=0 || status=$?
left=
for process in "$root"/proc/[0-9]*; do
  if [ "$process" = "$root/proc/1" ] || [ ! -e "$process/exe" ]; then continue; fi
  if read -r name <"$process/comm"; then left="$left $name"; fi
done
if [ -n "$left" ]; then echo "still running, and ended:$left"; fi
exit $status
`

/** Nodes that programs expect in every /dev. */
const PLAIN_NODES = [
  'c /dev/null 1 3',
  'c /dev/zero 1 5',
  'c /dev/full 1 7',
  'c /dev/random 1 8',
  'c /dev/urandom 1 9',
  'c /dev/tty 5 0',
]

/** What programs get of this machine's environment: nothing but a PATH. */
const ENVIRONMENT = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']
const DEFAULTS = ['HOME=/root', 'TERM=dumb', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive']

/** Throws ERR_SI_PROGRAM_MISSING when this machine cannot run programs of a target. */
export async function checkTargetPrograms(): Promise<void> {
  for (const program of ['unshare', 'chroot', 'mknod', 'mount']) {
    if (await hasProgram(program)) continue
    throw new SiError(
      'ERR_SI_PROGRAM_MISSING',
      `Cannot run programs of the image: "${program}" is not installed on this machine`,
      { hint: `Install the package that holds ${program}, or add --no-finish` },
    )
  }
}

/** Makes nothing but the folders that are mounted on. Throws ERR_SI_DEPLOY when one is something else. */
export async function openTargetSystem(
  tree: TargetTree,
  storage: MadeStorage | null,
  signal: AbortSignal,
): Promise<TargetSystem> {
  for (const name of ['proc', 'sys', 'dev', 'run', 'tmp']) await makeMountPoint(tree, name)
  const nodes = storage === null ? [] : await describeNodes(storage)
  const lines = [...PLAIN_NODES, ...nodes].join('\n')
  const enter = (script: string, pairs: readonly string[], command: readonly string[]) => {
    const inside = ['sh', '-euc', script, 'si-target', tree.root, lines, ...pairs, '--']
    return [...APART, ...inside, 'env', '-i', ...command]
  }
  return {
    run(program, args, { env = {}, input = '', okExitCodes = [0], mounts = [] } = {}) {
      const variables = [...ENVIRONMENT, ...DEFAULTS, ...variablesOf(env)]
      const pairs = mounts.flatMap(({ device, at }) => [device, at])
      // unshare blocks SIGTERM while it waits; when it is killed, so is all that it started.
      const how = { signal, input, okExitCodes, killWith: 'SIGKILL' } as const
      return run('unshare', enter(ENTER, pairs, [...variables, program, ...args]), how)
    },
    runForeign(command, { folder, at, env, ...options }) {
      const inside = [...variablesOf(env), ...command]
      const args = enter(ENTER_AND_LOOK, [`--bind=${folder}`, at], inside)
      return runGroup('unshare', args, { ...options, env: { PATH: process.env['PATH'] ?? '' } })
    },
  }
}

const APART = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child']

function variablesOf(env: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`)
}

async function makeMountPoint(tree: TargetTree, name: string): Promise<void> {
  if (!tree.exists(name)) await mkdir(tree.locate(name), { mode: name === 'tmp' ? 0o1777 : 0o755 })
  if (tree.isDirectory(name) && tree.locate(name) === `${tree.root}/${name}`) return
  throw new SiError('ERR_SI_DEPLOY', `Cannot finish ${tree.root}: /${name} is no folder there`, {
    hint: 'Capture the golden client again, or deploy with --no-finish',
  })
}

/** The target's disks with all that lies on them, and links by which GRUB finds file systems. */
async function describeNodes(storage: MadeStorage): Promise<readonly string[]> {
  const paths = [
    ...storage.disks.map(({ device }) => device),
    ...storage.fileSystems.map(({ device }) => device),
    ...storage.arrays.flatMap(({ device, members }) => [device, ...members]),
    ...storage.volumeGroups.flatMap(({ physicalVolumes }) => physicalVolumes),
    ...storage.encrypted.flatMap(({ device, name }) => [device, `/dev/mapper/${name}`]),
  ]
  const nodes = await readDeviceNodes(paths)
  const links = storage.fileSystems
    .filter(({ uuid }) => uuid !== '')
    .map(({ uuid, device }) => `l /dev/disk/by-uuid/${uuid} ${device}`)
  const isMapped = paths.some((path) => path.startsWith('/dev/mapper/'))
  const control = isMapped ? await readDeviceNodes(['/dev/mapper/control']) : []
  return [...[...nodes, ...control].map(formatNode), ...links]
}

function formatNode({ path, isBlock, major, minor }: DeviceNode): string {
  return `${isBlock ? 'b' : 'c'} ${path} ${major} ${minor}`
}
