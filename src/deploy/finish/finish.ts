// The door of finishing: a deployed tree becomes a machine of its own that boots. Order: tables of storage, host name and
// network, identity, ssh host keys, initramfs, boot loader, scripts, labels. Invariant: every step can be repeated, for a deployment
// that is interrupted here goes on from its journal; nothing is changed outside of the target.
import { throwIfAborted, type Progress } from '../../core/core.ts'
import type { ManifestHeader } from '../../image/image.ts'
import type { MadeStorage } from '../made-storage.ts'
import { installBootLoader } from './boot-loader.ts'
import type { InitramfsChoice } from './finish-plan.ts'
import type { Firmware } from './firmware.ts'
import { setHostName } from './host-name.ts'
import { findFeatures, NO_NETWORK_PROGRAM, type ImageFeatures } from './image-features.ts'
import { makeInitramfs, reasonForInitramfs } from './initramfs.ts'
import { renewHostKeys, renewIdentity } from './machine-identity.ts'
import type { NetworkConfiguration } from './network-configuration.ts'
import { setNetwork } from './network.ts'
import { findRenewedUuids, replaceUuids } from './renewed-uuids.ts'
import { findPolicy, labelFiles } from './selinux.ts'
import { writeStorageTables } from './storage-tables.ts'
import { openTargetSystem, type TargetSystem } from './target-system.ts'
import { openTargetTree, type TargetTree } from './target-tree.ts'

export interface FinishOptions {
  /** Root of the deployed tree. */
  readonly directory: string
  /** Null: a directory, which gets nothing but what `identity` asks for. */
  readonly storage: MadeStorage | null
  readonly header: ManifestHeader
  readonly firmware: Firmware
  readonly initramfs: InitramfsChoice
  readonly identity: {
    readonly hostName: string | null
    readonly network: NetworkConfiguration | null
  }
  /** The administrator's scripts, run in the system when all but labels is done; null: there are none. */
  readonly runScripts: ((place: TargetPlace) => Promise<void>) | null
}

export interface TargetPlace {
  readonly tree: TargetTree
  readonly system: TargetSystem
}

export interface FinishReport {
  readonly steps: readonly { readonly name: string; readonly durationMs: number }[]
  readonly notes: readonly string[]
  /** What a machine needs, or was asked for, and does not have. */
  readonly leftOut: readonly string[]
}

interface Finishing {
  readonly options: FinishOptions
  readonly storage: MadeStorage | null
  readonly tree: TargetTree
  readonly system: TargetSystem
  readonly features: ImageFeatures
  readonly notes: string[]
  readonly leftOut: string[]
}

type Step = readonly [name: string, act: (finishing: Finishing) => Promise<void>]

/** Throws ERR_SI_PROGRAM_FAILED (a program of the image), ERR_SI_TARGET_UNSUITABLE, ERR_SI_DEPLOY, ERR_SI_ABORTED. */
export async function finishTarget(
  options: FinishOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<FinishReport> {
  const { storage, identity, directory, runScripts } = options
  const tree = openTargetTree(directory)
  const features = findFeatures((path) => tree.exists(path))
  const [notes, leftOut, steps]: [string[], string[], FinishReport['steps'][number][]] = [
    [],
    [],
    [],
  ]
  const isAsked = [storage, identity.hostName, identity.network, runScripts].some(
    (wish) => wish !== null,
  )
  if (!isAsked) return { steps, notes, leftOut }
  if (!features.isSystem) {
    notes.push('the image has no /etc: it is left as it is, without identity and boot loader')
    return { steps, notes, leftOut }
  }
  const system = await openTargetSystem(tree, storage, signal)
  const finishing = { options, storage, tree, system, features, notes, leftOut }
  for (const [name, act] of storage === null ? DIRECTORY_STEPS : DISK_STEPS) {
    throwIfAborted(signal)
    progress.update({ phase: 'finishing', doneBytes: 0, totalBytes: undefined, detail: name })
    const startMs = performance.now()
    await act(finishing)
    steps.push({ name, durationMs: Math.round(performance.now() - startMs) })
  }
  return { steps, notes, leftOut }
}

const IDENTITY_STEPS: readonly Step[] = [
  ['host name', nameHost],
  ['network', configureNetwork],
]

const SCRIPT_STEP: Step = [
  'scripts',
  async ({ options, tree, system }) => await options.runScripts?.({ tree, system }),
]

const DIRECTORY_STEPS: readonly Step[] = [...IDENTITY_STEPS, SCRIPT_STEP]

const DISK_STEPS: readonly Step[] = [
  ['fstab', ({ tree, storage }) => writeStorageTables(tree, storage)],
  ...IDENTITY_STEPS,
  ['identity', ({ tree }) => renewIdentity(tree)],
  ['ssh host keys', renewKeys],
  ['initramfs', renewInitramfs],
  ['boot loader', makeBootable],
  SCRIPT_STEP,
  ['SELinux labels', label],
]

async function nameHost({ options, tree }: Finishing): Promise<void> {
  const { hostName } = options.identity
  if (hostName !== null) await setHostName(tree, hostName)
}

async function configureNetwork({ options, tree, features, leftOut }: Finishing): Promise<void> {
  const { network } = options.identity
  if (network === null) {
    if (options.storage !== null && !features.hasNetwork) {
      leftOut.push(`the machine will have no network: the image ${NO_NETWORK_PROGRAM}`)
    }
  } else if (features.network !== null) await setNetwork(tree, network, features.network)
  else leftOut.push(`no network is configured: the image ${NO_NETWORK_PROGRAM}`)
}

async function renewKeys({ tree, system, features }: Finishing): Promise<void> {
  if (features.hasSshServer) await renewHostKeys(tree, system, features)
}

async function renewInitramfs(finishing: Finishing): Promise<void> {
  const { options, storage, tree, system, features, notes } = finishing
  const { header, initramfs } = options
  const maker = features.initramfsMaker
  if (storage === null || maker === null) return
  const renewed = findRenewedUuids(header, storage)
  await replaceUuids(tree, renewed)
  const configuration = (await tree.read('etc/initramfs-tools/initramfs.conf')) ?? ''
  const reason = reasonForInitramfs({ header, storage, maker, renewed, configuration })
  if (initramfs === 'never' && reason !== null) {
    notes.push(`the initramfs is the golden client's, as asked for, although: ${reason}`)
  }
  if (initramfs === 'always' || (initramfs === 'auto' && reason !== null)) {
    await makeInitramfs(system, maker)
  }
}

async function makeBootable({
  options,
  storage,
  tree,
  system,
  features,
  notes,
  leftOut,
}: Finishing): Promise<void> {
  const { firmware } = options
  const { grub } = features
  if (storage === null) return
  if (firmware !== 'none' && grub !== null) {
    notes.push(...(await installBootLoader({ tree, system, storage, firmware, grub })))
  } else if (grub === null) {
    leftOut.push('no boot loader in the image: the disk does not boot by itself')
  }
}

async function label({ tree, system }: Finishing): Promise<void> {
  const policy = await findPolicy(tree)
  if (policy !== undefined) await labelFiles(tree, system, policy)
}
