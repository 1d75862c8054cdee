// What no two machines may share: machine id, ssh host keys, random seeds, and names of network cards that were bound to
// the golden client's. Most is left out of images by default; overrides and other captures may bring it.
import type { ImageFeatures } from './image-features.ts'
import type { TargetSystem } from './target-system.ts'
import type { TargetTree } from './target-tree.ts'

/** systemd-random-seed(8), systemd-creds(1), udev's old rules for cards by MAC address, dhclient(8). */
const BOUND_TO_ONE_MACHINE = [
  'var/lib/systemd/random-seed',
  'var/lib/systemd/credential.secret',
  'var/lib/urandom/random-seed',
  'etc/udev/rules.d/70-persistent-net.rules',
]

export async function renewIdentity(tree: TargetTree): Promise<void> {
  // Empty, not absent: systemd makes a new id, but does not take it for a first boot, at which it would
  // ask questions and reset which services are enabled (machine-id(5)).
  await tree.write('etc/machine-id', '')
  const dbus = 'var/lib/dbus/machine-id' // as a rule a symlink to the former
  if (((await tree.read(dbus)) ?? '') !== '') await tree.remove(dbus)
  for (const path of BOUND_TO_ONE_MACHINE) await tree.remove(path)
  for (const name of await tree.list('var/lib/dhcp')) {
    if (name.endsWith('.leases')) await tree.remove(`var/lib/dhcp/${name}`)
  }
}

/** Needs an ssh server in the image; made here, not at the first boot, where entropy may be short. */
export async function renewHostKeys(
  tree: TargetTree,
  system: TargetSystem,
  features: ImageFeatures,
): Promise<void> {
  for (const name of await tree.list('etc/ssh')) {
    if (/^ssh_host_\w+_key(\.pub|-cert\.pub)?$/.test(name)) await tree.remove(`etc/ssh/${name}`)
  }
  if (features.hasSshKeygen) await system.run('ssh-keygen', ['-A'])
}
