// Carries out a DiskPlan: tables, arrays, encryption, volume groups, file systems; or assembles what an earlier run
// had made. Invariant: only devices of the plan are written to, and closing leaves nothing of it assembled.
import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { messageOf, SiError } from '../../core/core.ts'
import {
  activateGroupCommand,
  assembleArrayCommand,
  createArrayCommand,
  createPhysicalVolumeCommand,
  createSubvolume,
  createVolumeCommand,
  createVolumeGroupCommand,
  deactivateGroupCommand,
  formatEncryptedCommand,
  makeFileSystem,
  mount,
  openEncryptedCommand,
  partitionDisk,
  readStack,
  releaseStack,
  runCommand,
  showPartitions,
  unmount,
  wipeDevice,
  type Command,
} from '../../host/host.ts'
import { EXTENT_BYTES } from './capacity.ts'
import { layerDevices } from './disk-plan.ts'
import type { DiskPlan, PlannedDisk, PlannedFileSystem, PlannedLayer } from './disk-plan.ts'
import type { PlannedVolume } from './disk-plan.ts'
import { formatDiskScript } from './disk-script.ts'

/** Makes everything anew; what was on the disks is gone, but for the partitions that are kept. */
export async function makeStorage(plan: DiskPlan, signal: AbortSignal): Promise<void> {
  await releaseOld(plan, signal)
  for (const disk of plan.disks) await makeTable(disk, signal)
  for (const layer of plan.layers) {
    for (const command of makingCommands(layer)) await runCommand(command, signal)
  }
  for (const fileSystem of plan.fileSystems) {
    if (!fileSystem.isKept) await makeOne(fileSystem, signal)
  }
}

const PATIENCE = { attempts: 50, pauseMs: 200 }

/** Makes the partitions and layers of an earlier run appear. Throws when they are not there. */
export async function assembleStorage(plan: DiskPlan, signal: AbortSignal): Promise<void> {
  for (const disk of plan.disks) {
    if (disk.label === 'none') continue
    await showPartitions(disk.device, { expected: inKernel(disk), signal })
  }
  await releaseOld(plan, signal)
  for (const layer of plan.layers) await runCommand(assemblingCommand(layer), signal)
}

/** Takes the layers away again, the uppermost first. Throws ERR_SI_TARGET_BUSY. */
export async function closeStorage(plan: DiskPlan): Promise<void> {
  for (const layer of plan.layers.toReversed()) {
    const isThere = () => layerDevices(layer).some((device) => existsSync(device))
    for (let attempt = 1; isThere(); attempt++) {
      try {
        await runCommand(closingCommand(layer), undefined)
        break
      } catch (error) {
        // Others, such as udev, may look at a new device for a moment.
        if (attempt === PATIENCE.attempts) throw stillBusy(layer, error)
        await new Promise((resolve) => setTimeout(resolve, PATIENCE.pauseMs))
      }
    }
  }
}

function stillBusy(layer: PlannedLayer, cause: unknown): SiError {
  return new SiError('ERR_SI_TARGET_BUSY', `Cannot close ${layer.name}: ${messageOf(cause)}`, {
    hint: `Run ${closingCommand(layer).join(' ')} when nothing uses it any more`,
    cause,
  })
}

/** Arrays and mapped devices that this machine has assembled of what is on the disks now. */
async function releaseOld(plan: DiskPlan, signal: AbortSignal): Promise<void> {
  for (const { device } of plan.disks) {
    await releaseStack(await readStack(basename(device), signal), signal)
  }
}

async function makeTable(disk: PlannedDisk, signal: AbortSignal): Promise<void> {
  if (disk.label === 'none') return await wipeDevice(disk.device, signal)
  const kept = disk.partitions.filter(({ isKept }) => isKept).map(({ device }) => device)
  await partitionDisk(disk.device, formatDiskScript(disk), {
    ...{ expected: inKernel(disk), kept, signal },
  })
}

/** The kernel shows of an extended partition only its first sectors. */
function inKernel({ partitions }: PlannedDisk) {
  return partitions.filter(({ isContainer }) => !isContainer)
}

/** What makes a layer of its members; pure. */
export function makingCommands(layer: PlannedLayer): readonly Command[] {
  switch (layer.kind) {
    case 'array':
      return [createArrayCommand(layer)]
    case 'encryption':
      return [formatEncryptedCommand(layer.on, layer), openEncryptedCommand(layer.on, layer)]
    case 'volumeGroup': {
      const { name, members, volumes } = layer
      // Whoever gets the rest comes last.
      const inOrder = volumes.toSorted((a, b) => rank(a) - rank(b))
      return [
        ...members.map(createPhysicalVolumeCommand),
        createVolumeGroupCommand(name, members),
        ...inOrder.map((volume) => createVolumeCommand(name, volume.name, extentsOf(volume))),
      ]
    }
    default:
      return layer satisfies never
  }
}

function rank({ size }: PlannedVolume): number {
  return Number(size.kind === 'rest')
}

function extentsOf({ size, sizeBytes }: PlannedVolume): string {
  return size.kind === 'rest' ? '100%FREE' : `${sizeBytes / EXTENT_BYTES}`
}

function assemblingCommand(layer: PlannedLayer): Command {
  switch (layer.kind) {
    case 'array':
      return assembleArrayCommand(layer.device, layer.members)
    case 'encryption':
      return openEncryptedCommand(layer.on, layer)
    case 'volumeGroup':
      return activateGroupCommand(layer.name)
    default:
      return layer satisfies never
  }
}

function closingCommand(layer: PlannedLayer): Command {
  switch (layer.kind) {
    case 'array':
      return ['mdadm', '--stop', '--quiet', layer.device]
    case 'encryption':
      return ['cryptsetup', 'close', layer.name]
    case 'volumeGroup':
      return deactivateGroupCommand(layer.name)
    default:
      return layer satisfies never
  }
}

async function makeOne(fileSystem: PlannedFileSystem, signal: AbortSignal): Promise<void> {
  const { device, type, uuid, label, minimumInodes, subvolumes } = fileSystem
  const inodes = minimumInodes === null ? {} : { minimumInodes }
  await makeFileSystem(device, { type, uuid, label, ...inodes, signal })
  if (subvolumes.length === 0) return
  const top = mkdtempSync('/run/swarmimager/btrfs.')
  try {
    await mount(device, top, { type, options: [], signal })
    try {
      for (const { path } of subvolumes) {
        mkdirSync(dirname(join(top, path)), { recursive: true })
        await createSubvolume(join(top, path), signal)
      }
    } finally {
      await unmount(top)
    }
  } finally {
    rmdirSync(top)
  }
}
