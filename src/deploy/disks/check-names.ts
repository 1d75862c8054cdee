// Names of arrays, mapped devices and volume groups are this machine's, not a disk's: one that something else has here
// already is refused while everything is still as it was. What is on the plan's own disks goes anyway.
import { readFile, realpath } from 'node:fs/promises'
import { basename } from 'node:path'
import { SiError } from '../../core/core.ts'
import { disksBelow, readVolumeGroups } from '../../host/host.ts'
import { layerDevices, type DiskPlan, type PlannedLayer } from './disk-plan.ts'

/** Throws ERR_SI_TARGET_UNSUITABLE. Asked when the programs of the plan are known to be there. */
export async function checkNames(plan: DiskPlan, signal: AbortSignal): Promise<void> {
  const own = plan.disks.map(({ device }) => basename(device))
  for (const layer of plan.layers) {
    for (const device of layerDevices(layer)) {
      const kernelName = await runningDevice(device)
      if (kernelName === undefined) continue
      const foreign = (await disksBelow(kernelName)).filter((disk) => !own.includes(disk))
      if (foreign.length > 0) throw clash(plan, layer, { device, foreign })
    }
  }
  const groups = plan.layers.filter(({ kind }) => kind === 'volumeGroup')
  if (groups.length === 0) return
  for (const { name, physicalVolumes } of await readVolumeGroups(signal)) {
    const layer = groups.find((group) => group.name === name)
    if (layer === undefined) continue
    const foreign: string[] = []
    for (const volume of physicalVolumes) {
      const disks = await disksBelow(basename(await realpath(volume)))
      foreign.push(...disks.filter((disk) => !own.includes(disk)))
    }
    if (foreign.length > 0) throw clash(plan, layer, { device: name, foreign })
  }
}

/** Kernel name of the device behind a path; undefined: none, or a node of an array that does not run. */
async function runningDevice(path: string): Promise<string | undefined> {
  const kernelName = await realpath(path).then(basename, () => undefined)
  if (kernelName === undefined) return undefined
  const state = await readFile(`/sys/class/block/${kernelName}/md/array_state`, 'utf8').catch(
    () => '',
  )
  return state.trim() === 'clear' ? undefined : kernelName
}

const KINDS: Readonly<Record<PlannedLayer['kind'], readonly [what: string, hint: string]>> = {
  array: ['an array', 'Stop that with mdadm --stop'],
  encryption: ['a mapped device', 'Close that with cryptsetup close or dmsetup remove'],
  volumeGroup: ['a volume group', 'Rename that with vgrename'],
}

function clash(
  plan: DiskPlan,
  { kind, name }: PlannedLayer,
  { device, foreign }: { readonly device: string; readonly foreign: readonly string[] },
): SiError {
  const [what, hint] = KINDS[kind]
  const targets = plan.disks.map((disk) => disk.device).join(', ')
  const where = [...new Set(foreign)].map((disk) => `/dev/${disk}`).join(', ')
  const message = `Cannot deploy image "${plan.image.name}" to ${targets}: ${what} named ${name} is here already, ${device} on ${where}`
  return new SiError('ERR_SI_TARGET_UNSUITABLE', message, {
    hint: `${hint}, take out its disk, or give ${name} another name in a layout file`,
  })
}
