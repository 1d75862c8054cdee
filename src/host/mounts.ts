// What is mounted, and mounting. The kernel's own list (proc_pid_mountinfo(5)) is the only source;
// device numbers, not names, decide what belongs to a disk.
import { readFile } from 'node:fs/promises'
import { run } from './program.ts'

export interface Mount {
  /** `major:minor` of the mounted file system. */
  readonly deviceNumber: string
  readonly mountPoint: string
  readonly type: string
  readonly source: string
}

/** Parses /proc/self/mountinfo; lines it cannot read are left out. */
export function parseMountInfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right] = line.split(' - ')
    const [, , deviceNumber, , mountPoint] = left.split(' ')
    const [type, source] = right?.split(' ') ?? []
    if (deviceNumber === undefined || mountPoint === undefined || type === undefined) return []
    return [
      {
        deviceNumber,
        mountPoint: unescapeOctal(mountPoint),
        type,
        source: unescapeOctal(source ?? ''),
      },
    ]
  })
}

export async function readMounts(): Promise<readonly Mount[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** Device paths of active swap areas, from the text of /proc/swaps. */
export function parseSwaps(text: string): readonly string[] {
  const lines = text.split('\n').slice(1)
  return lines.flatMap((line) => {
    const path = line.split(/\s/)[0]
    return path === undefined || path === '' ? [] : [unescapeOctal(path)]
  })
}

export interface MountOptions {
  readonly type: string
  /** `-o` values. */
  readonly options: readonly string[]
  readonly signal?: AbortSignal | undefined
}

/** Mounts a device on an existing directory. Throws ERR_SI_PROGRAM_FAILED. */
export async function mount(device: string, directory: string, how: MountOptions): Promise<void> {
  const options = how.options.length === 0 ? [] : ['-o', how.options.join(',')]
  await run('mount', ['-i', '-t', how.type, ...options, '--', device, directory], {
    signal: how.signal,
  })
}

/** Unmounts; never lazily, so that nothing is still being written when this has returned. */
export async function unmount(directory: string): Promise<void> {
  await run('umount', ['--', directory])
}

/** Takes a mount out of the tree at once, whoever uses it; no failure where nothing is mounted. */
export async function detachMount(directory: string): Promise<void> {
  await run('umount', ['-l', '--', directory], { okExitCodes: [0, 1, 32] })
}

/** The kernel writes blanks and backslashes in paths as `\040` (proc_pid_mountinfo(5), fstab(5)). */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
