// Programs of others that use a file system hard and look at what it gives back: fio, stress-ng, dbench.
// Each ends with an error when something was not as it must be, or when it takes longer than it may.
import { run } from '../../src/host/host.ts'

export interface LoadOptions {
  readonly signal: AbortSignal
  /** A program that takes so much longer than it was told hangs. */
  readonly graceMs: number
}

/** Buffered writes of mixed sizes, whose checksums are then read by another mount of the same folder. */
export async function verifyAcross(
  folders: { readonly writing: string; readonly reading: string },
  sizeBytes: number,
  options: LoadOptions,
): Promise<void> {
  const job = (folder: string) => [
    ...['--name=verified', `--directory=${folder}`, '--numjobs=4', '--ioengine=psync'],
    ...[`--size=${Math.floor(sizeBytes / 4)}`, '--rw=randwrite', '--bsrange=4k-512k'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'],
  ]
  const writing = [...job(folders.writing), '--do_verify=0', '--end_fsync=1']
  await runBounded('fio', writing, { ...options, durationMs: 0 })
  const reading = [...job(folders.reading), '--verify_only']
  await runBounded('fio', reading, { ...options, durationMs: 0 })
}

/** What of stress-ng's class "filesystem" a file system over the network can do. */
const STRESSORS = [
  ...['access', 'chdir', 'chmod', 'chown', 'copy-file', 'dentry', 'dir', 'dirdeep', 'dirmany'],
  ...['dnotify', 'dup', 'fallocate', 'fcntl', 'fiemap', 'filename', 'flock', 'fpunch', 'fsize'],
  ...['fstat', 'hdd', 'inotify', 'io', 'iomix', 'lease', 'link', 'locka', 'lockf'],
  ...['lockofd', 'mknod', 'open', 'rename', 'symlink', 'sync-file', 'touch', 'utime', 'xattr'],
]

/** All stressors at the same time. */
export async function stress(folder: string, seconds: number, options: LoadOptions): Promise<void> {
  const stressors = STRESSORS.flatMap((name) => [`--${name}`, '1'])
  const args = [...stressors, '--verify', '--timeout', `${seconds}s`, '--temp-path', folder]
  await runBounded('stress-ng', args, { ...options, durationMs: seconds * 1000 })
}

/** As many clients as a file server of an office has, with what such clients do. */
export async function officeLoad(
  folder: string,
  seconds: number,
  options: LoadOptions & { readonly clients: number },
): Promise<void> {
  const { clients, ...bounds } = options
  const script = ['-c', '/usr/share/dbench/client.txt']
  const args = ['-D', folder, ...script, '-t', `${seconds}`, `${clients}`]
  await runBounded('dbench', args, { ...bounds, durationMs: seconds * 1000 })
}

async function runBounded(
  program: string,
  args: readonly string[],
  { signal, graceMs, durationMs }: LoadOptions & { readonly durationMs: number },
): Promise<void> {
  const late = AbortSignal.timeout(durationMs + graceMs)
  try {
    await run(program, args, { signal: AbortSignal.any([signal, late]), killWith: 'SIGKILL' })
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error
    throw new Error(`${program} had not ended ${graceMs / 1000} s after its time`, { cause: error })
  }
}
