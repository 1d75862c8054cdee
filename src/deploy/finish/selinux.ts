// SELinux labels of what the finishing wrote. An image that came with labels gets those for the new files from its own
// policy; where labels are missing the machine labels everything at its first boot (selinux(8), /.autorelabel).
import { errnoOf } from '../../core/core.ts'
import { lgetxattr } from '../../host/host.ts'
import type { TargetSystem } from './target-system.ts'
import type { TargetTree } from './target-tree.ts'

const LABEL = 'security.selinux'
/** Where the finishing writes. */
const TOUCHED = ['/etc', '/boot', '/var/lib']

/** Name of the policy that the image uses; undefined when SELinux is off or absent. */
export async function findPolicy(tree: TargetTree): Promise<string | undefined> {
  const text = (await tree.read('etc/selinux/config')) ?? ''
  if (!/^\s*SELINUX=(enforcing|permissive)\s*$/m.test(text)) return undefined
  return /^\s*SELINUXTYPE=([\w-]+)\s*$/m.exec(text)?.[1] ?? 'targeted'
}

export async function labelFiles(
  tree: TargetTree,
  system: TargetSystem,
  policy: string,
): Promise<void> {
  const contexts = `etc/selinux/${policy}/contexts/files/file_contexts`
  const canLabel = ['usr/sbin/setfiles', 'sbin/setfiles'].some((path) => tree.exists(path))
  if (canLabel && tree.exists(contexts) && isLabelled(tree, 'etc/selinux/config')) {
    await system.run('setfiles', ['-F', `/${contexts}`, ...TOUCHED])
  } else {
    await tree.write('.autorelabel', '')
  }
}

function isLabelled(tree: TargetTree, path: string): boolean {
  try {
    return lgetxattr(tree.locate(path), LABEL) !== undefined
  } catch (error) {
    if (['ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) return false
    throw error
  }
}
