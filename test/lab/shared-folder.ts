// A folder of this machine inside a virtual one, by virtiofs: a daemon of QEMU serves it on a socket,
// the guest mounts it by its tag.
import { join } from 'node:path'
import { startInLab } from './lab-program.ts'
import { type Scope, waitFor } from './scope.ts'
import { exists } from '../../src/core/core.ts'

export interface SharedFolder {
  /** By which the guest mounts it: `mount -t virtiofs TAG FOLDER`. */
  readonly tag: string
  readonly path: string
  /** `always` where nobody but the guest changes it meanwhile, which is much faster. */
  readonly cache: 'always' | 'none'
}

const DAEMON = '/usr/lib/qemu/virtiofsd'

/** Serves a folder; QEMU's arguments for it. The machine's memory must be shared (`share=on`). */
export async function serveFolder(
  scope: Scope,
  machine: string,
  folder: SharedFolder,
): Promise<string[]> {
  const socket = join(scope.directory, `${machine}-${folder.tag}.sock`)
  const flags = [`source=${folder.path}`, `cache=${folder.cache}`, 'sandbox=chroot', 'xattr']
  const daemon = startInLab(scope, `${machine}-${folder.tag}`, {
    program: DAEMON,
    args: [`--socket-path=${socket}`, ...flags.flatMap((flag) => ['-o', flag])],
  })
  let hasEnded = false
  daemon.exited.finally(() => (hasEnded = true)).catch(() => {})
  await waitFor(
    `the socket of the shared folder ${folder.path}`,
    () => {
      if (hasEnded) throw new Error(`Cannot share ${folder.path}: ${daemon.lastWords()}`)
      return exists(socket)
    },
    { deadlineMs: 10_000, signal: scope.signal },
  )
  const id = `share-${folder.tag}`
  return [
    ...['-chardev', `socket,id=${id},path=${socket}`],
    ...['-device', `vhost-user-fs-pci,chardev=${id},tag=${folder.tag}`],
  ]
}
