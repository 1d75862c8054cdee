// Disks as the target. Invariants: nothing on them changes before `prepare`; one process at a time works on
// each; when `close` has returned nothing of them is mounted or assembled.
import { constants } from 'node:fs'
import { mkdir, open, readFile, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { messageOf, SiError } from '../../core/core.ts'
import { listDisks } from '../../host/host.ts'
import { openJournal, type Journal } from '../journal.ts'
import type { DiskChoice } from '../options.ts'
import { withFirmwarePartitions } from '../finish/firmware-partitions.ts'
import { plannedImage, type ImageFacts, type PreparedTarget, type Target } from '../target.ts'
import { assembleStorage, closeStorage, makeStorage } from './build-storage.ts'
import { toLayout } from './captured-layout.ts'
import { listDevices } from './check-layout.ts'
import { checkNames } from './check-names.ts'
import { chooseDisks } from './choose-disks.ts'
import type { DiskPlan, TargetDisk } from './disk-plan.ts'
import { checkPrerequisites } from './disk-prerequisites.ts'
import { findDisk, inspectDisk, lockDisk, RUN_DIRECTORY } from './inspect-disk.ts'
import { parseLayout } from './layout-file.ts'
import type { Layout } from './layout.ts'
import { checkMountPoints } from './mount-points.ts'
import { mountTree, unmountLeftovers, type MountedTree } from './mounted-tree.ts'
import { planStorage } from './plan-storage.ts'
import { readStorage } from './read-storage.ts'
import { holdsJournal, isPlanned, type MountAll } from './resume.ts'
import { measureUsage } from './space.ts'

/**
 * Throws ERR_SI_CONFIGURATION for a layout file, ERR_SI_TARGET_UNSUITABLE or ERR_SI_TARGET_BUSY; then the disks
 * are as they were.
 */
export async function openDiskTarget(
  choice: DiskChoice,
  image: ImageFacts,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<Target> {
  const { dryRun, signal } = options
  const { name } = image.header
  const { firmware = 'none' } = image
  const planned = plannedImage(image.header)
  const chosen = chooseLayout(choice, image)
  const layout = withFirmwarePartitions({ layout: chosen, firmware, image: planned })
  const paths = await choosePaths(choice, layout, name)
  const devices = []
  for (const path of paths) devices.push(await findDisk(path, name))
  refuseTwice(devices.map(({ path }) => path))
  const locks: FileHandle[] = []
  const unlock = async () => {
    for (const lock of locks.splice(0)) await lock.close()
  }
  try {
    for (const device of devices) locks.push(await lockDisk(device))
    const prefixes = devices.map(({ path }) => `${RUN_DIRECTORY}/${basename(path)}.`)
    if (!dryRun) for (const prefix of prefixes) await unmountLeftovers(prefix)
    const disks: TargetDisk[] = []
    const known = devices.map(({ path }) => path)
    for (const device of devices) {
      disks.push(await inspectDisk(device, name, { disks: known, signal }))
    }
    const fresh = planFor({ layout, disks, image })
    await checkPrerequisites(fresh)
    await checkNames(fresh, signal)
    const mountAll: MountAll = ({ fileSystems }, stop) =>
      mountTree({ fileSystems, prefix: prefixes[0] ?? '', signal: stop })
    const resumes =
      !dryRun && isPlanned(fresh) && (await holdsJournal(fresh, image, { mountAll, signal }))
    return createTarget({ ...fresh, resumes }, { image, unlock, mountAll })
  } catch (error) {
    await unlock()
    throw error
  }
}

function createTarget(
  plan: DiskPlan,
  own: {
    readonly image: ImageFacts
    readonly unlock: () => Promise<void>
    readonly mountAll: MountAll
  },
): Target {
  let tree: MountedTree | undefined
  let journal: Journal | undefined
  let isBuilt = false
  return {
    plan,
    async prepare(signal): Promise<PreparedTarget> {
      isBuilt = true
      if (plan.resumes) await assembleStorage(plan, signal)
      else await makeStorage(plan, signal)
      tree = await own.mountAll(plan, signal)
      if (!plan.resumes) await bringKeys(plan, tree.directory)
      journal = await openJournal(tree.directory, own.image)
      const storage = await readStorage(plan, signal)
      return { directory: tree.directory, fileSystems: tree.mountPoints, journal, storage }
    },
    async close() {
      await journal?.close()
      await tree?.close()
      if (isBuilt) await closeStorage(plan)
      isBuilt = false
      await own.unlock()
    },
  }
}

function chooseLayout({ layout }: DiskChoice, { header }: ImageFacts): Layout {
  const golden = header.layout === null ? null : toLayout(header.layout)
  if (layout !== undefined) return parseLayout(layout.text, { file: layout.file, golden })
  if (golden !== null) return golden
  throw new SiError(
    'ERR_SI_TARGET_UNSUITABLE',
    `Cannot deploy image "${header.name}" to a disk: it was captured from a directory and has no disk layout`,
    { hint: 'Give a layout file with --layout, or use --root' },
  )
}

async function choosePaths(
  { devices }: DiskChoice,
  layout: Layout,
  imageName: string,
): Promise<readonly string[]> {
  if (devices.length === 0) return chooseDisks(layout.disks, await listDisks())
  if (devices.length === layout.disks.length) return devices
  const names = layout.disks.map(({ name }) => name).join(', ')
  throw new SiError(
    'ERR_SI_TARGET_UNSUITABLE',
    `Cannot deploy image "${imageName}" to ${devices.join(', ')}: its layout has ${layout.disks.length} disks (${names})`,
    { hint: 'Name each of them, in this order, or give a layout file with --layout' },
  )
}

function refuseTwice(paths: readonly string[]): void {
  const twice = paths.find((path, index) => paths.indexOf(path) !== index)
  if (twice === undefined) return
  throw new SiError('ERR_SI_TARGET_UNSUITABLE', `Cannot use ${twice} as two disks of the layout`, {
    hint: 'Name another disk',
  })
}

function planFor(facts: {
  readonly layout: Layout
  readonly disks: readonly TargetDisk[]
  readonly image: ImageFacts
}): DiskPlan {
  const { layout, disks, image } = facts
  const { header, table, spillBytes } = image
  const mountPoints = listDevices(layout).flatMap(({ fileSystem, isKept }) => {
    const places = [fileSystem?.mountPoint, ...(fileSystem?.subvolumes ?? []).map(toMountPoint)]
    return isKept ? [] : places.filter((place) => typeof place === 'string')
  })
  checkMountPoints(table, mountPoints)
  const usage = measureUsage(table, mountPoints)
  return planStorage({ image: plannedImage(header), layout, disks, usage, spillBytes })
}

function toMountPoint({ mountPoint }: { readonly mountPoint: string | null }): string | null {
  return mountPoint
}

/**
 * Key files that the target is to have, before anything of the image is there: no link of the image can lead
 * them elsewhere.
 */
async function bringKeys(plan: DiskPlan, directory: string): Promise<void> {
  for (const layer of plan.layers) {
    if (layer.kind !== 'encryption' || layer.keyInTarget === null) continue
    const path = join(directory, layer.keyInTarget)
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const { O_CREAT, O_EXCL, O_WRONLY } = constants
      await using file = await open(path, O_WRONLY | O_CREAT | O_EXCL, 0o400)
      await file.writeFile(await readFile(layer.keyFile))
      await file.sync()
    } catch (error) {
      const message = `Cannot write the key ${layer.keyInTarget}: ${messageOf(error)}`
      throw new SiError('ERR_SI_DEPLOY', message, { cause: error })
    }
  }
}
