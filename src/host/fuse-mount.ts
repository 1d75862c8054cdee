// Mounting a FUSE file system and taking it away. The kernel's side of the conversation is a descriptor of
// /dev/fuse: the file system lives as long as anybody holds it. See mount(8), fuse(4).
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, SiError } from '../core/core.ts'
import { readMounts } from './mounts.ts'
import { programFailed, start } from './program.ts'

export interface FuseMountOptions {
  /** Shown as the device: SERVER:/EXPORT. */
  readonly source: string
  readonly directory: string
  /** The type is fuse.SUBTYPE. */
  readonly subtype: string
  /** As in mount -o; such as `ro`, `nosuid`. */
  readonly options?: readonly string[]
  readonly maximumReadBytes: number
}

const DEVICE = '/dev/fuse'
const DIRECTORY_MODE = '40000'

/**
 * Mounts; the descriptor it returns reads the kernel's requests. Throws ERR_SI_SYSTEM_CALL where the
 * kernel has no FUSE, ERR_SI_PROGRAM_FAILED with mount's words. The caller closes the descriptor.
 */
export async function mountFuse(mount: FuseMountOptions): Promise<FileHandle> {
  const device = await openFuseDevice()
  try {
    await mountFuseDevice(device.fd, mount)
    return device
  } catch (error) {
    await device.close()
    throw error
  }
}

/** As `mountFuse`, with a descriptor of /dev/fuse that nothing is mounted with yet. */
export async function mountFuseDevice(fd: number, mount: FuseMountOptions): Promise<void> {
  const args = mountArguments(mount)
  const child = start('mount', args, { stdio: ['ignore', 'ignore', 'pipe', fd] })
  const result = await child.exited
  if (result.exitCode !== 0) throw programFailed('mount', args, result)
}

/** Throws ERR_SI_SYSTEM_CALL where the kernel has no FUSE. */
export async function openFuseDevice(): Promise<FileHandle> {
  try {
    return await open(DEVICE, 'r+')
  } catch (error) {
    const code = errnoOf(error)
    const isMissing = code === 'ENOENT' || code === 'ENODEV'
    throw new SiError('ERR_SI_SYSTEM_CALL', `Cannot open ${DEVICE}: ${code ?? 'unknown error'}`, {
      hint: isMissing ? 'Load the kernel module fuse: modprobe fuse' : 'Run it as root',
      cause: error,
    })
  }
}

function mountArguments(mount: FuseMountOptions): string[] {
  const options = [
    ...['fd=3', `rootmode=${DIRECTORY_MODE}`, 'user_id=0', 'group_id=0'],
    ...['allow_other', 'default_permissions', `max_read=${mount.maximumReadBytes}`],
    ...(mount.options ?? []),
  ]
  const type = `fuse.${mount.subtype}`
  return ['-i', '-t', type, '-o', options.join(','), mount.source, mount.directory]
}

/** Lets the kernel read ahead that far on a mounted file system; reads stay at 128 KiB otherwise. */
export async function setReadahead(directory: string, readaheadBytes: number): Promise<void> {
  const device = await deviceOfMount(directory)
  await writeFile(
    join('/sys/class/bdi', device, 'read_ahead_kb'),
    `${Math.floor(readaheadBytes / 1024)}\n`,
  )
}

/** From /proc/self/mountinfo: asks nobody who might not answer. */
async function deviceOfMount(directory: string): Promise<string> {
  const mount = (await readMounts()).findLast(({ mountPoint }) => mountPoint === directory)
  if (mount === undefined) {
    throw new SiError('ERR_SI_SYSTEM_CALL', `Nothing is mounted at ${directory}`)
  }
  return mount.deviceNumber
}
