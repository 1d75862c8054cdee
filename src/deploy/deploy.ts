// The door of deploy: an image becomes a tree on a disk or in a directory. Light to load, for whoever needs a word of it
// only, such as what a network is: the deployment itself (deployment.ts) comes when one begins.
import type { DeployIo, DeployOptions, DeployReport } from './options.ts'

export { checkLayoutFile, type LayoutCheck } from './disks/check-layout-file.ts'
export { formatGoldenLayout } from './disks/golden-layout-text.ts'
export { loadTorrent } from './load-torrent.ts'
export type {
  DeployIo,
  DeployOptions,
  DeployReport,
  ExpectedImage,
  OverrideOptions,
} from './options.ts'
export { FIRMWARE_CHOICES, type FirmwareChoice } from './finish/firmware.ts'
export { INITRAMFS_CHOICES, PLAIN_FINISH, type FinishChoices } from './finish/finish-plan.ts'
export { parseHostName } from './finish/host-name.ts'
export {
  networkSchema,
  type NetworkConfiguration,
  type NetworkInterface,
} from './finish/network-configuration.ts'
export {
  parseInterpreter,
  SCRIPT_TIME_LIMIT_MS,
  type Script,
  type ScriptFailureChoice,
  type ScriptOptions,
} from './scripts/script.ts'
export { formatPlan, type DeployPlan, type DirectoryPlan, type DiskPlan } from './plan.ts'

/**
 * Deploys an image. Needs root, but for a dry run into a directory. Throws what its steps throw:
 * ERR_SI_TORRENT_*, ERR_SI_UNTRUSTED, ERR_SI_MANIFEST_FORMAT, ERR_SI_UNSAFE_PATH, ERR_SI_TARGET_*, ERR_SI_NOT_CONFIRMED,
 * ERR_SI_ABORTED; an abort while it only seeds on is no error.
 */
export async function deploy(
  options: DeployOptions,
  io: DeployIo,
  signal: AbortSignal,
): Promise<DeployReport> {
  const { runDeployment } = await import('./deployment.ts')
  return await runDeployment(options, io, signal)
}
