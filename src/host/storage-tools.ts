// The programs between partitions and file systems: mdadm, LVM, cryptsetup, btrfs. Commands are made by pure
// functions, so that what will run can be looked at without a kernel that has md or device mapper. Nothing is asked
// on a terminal.
import { run } from './program.ts'

export type Command = readonly [program: string, ...args: string[]]

export interface ArrayCommandOptions {
  readonly device: string
  readonly name: string
  readonly level: string
  readonly metadata: string
  /** Empty: a new one. */
  readonly uuid: string
  readonly members: readonly string[]
}

/** `any`: whatever name the machine gets, the array is its own. The first resync goes on in the background. */
export function createArrayCommand(options: ArrayCommandOptions): Command {
  const { device, name, level, metadata, uuid, members } = options
  return [
    ...(['mdadm', '--create', device, '--run', '--quiet', '--homehost=any'] as const),
    ...[`--name=${name.replace(/^md(?=\d+$)/, '')}`, `--level=${level}`, `--metadata=${metadata}`],
    ...(level === '0' ? [] : ['--bitmap=internal']),
    ...(level === '1' && members.length === 1 ? ['--force'] : []),
    ...(uuid === '' ? [] : [`--uuid=${uuid}`]),
    ...[`--raid-devices=${members.length}`, ...members],
  ]
}

export function assembleArrayCommand(device: string, members: readonly string[]): Command {
  return ['mdadm', '--assemble', '--run', '--quiet', device, ...members]
}

/** The key file is read to its end, newlines included, as crypttab does. */
export function formatEncryptedCommand(
  device: string,
  { keyFile, uuid }: { readonly keyFile: string; readonly uuid: string },
): Command {
  const id = uuid === '' ? [] : ['--uuid', uuid]
  const how = ['--type', 'luks2', '--batch-mode', '--key-file', keyFile, ...id]
  return ['cryptsetup', 'luksFormat', ...how, device]
}

export function openEncryptedCommand(
  device: string,
  { keyFile, name }: { readonly keyFile: string; readonly name: string },
): Command {
  return ['cryptsetup', 'open', '--type', 'luks2', '--key-file', keyFile, device, name]
}

export function createPhysicalVolumeCommand(device: string): Command {
  return ['pvcreate', '--yes', '--force', '--force', '--quiet', device]
}

export function createVolumeGroupCommand(name: string, members: readonly string[]): Command {
  return ['vgcreate', '--yes', '--quiet', '--', name, ...members]
}

/** `extents` as lvcreate takes them: a number, `50%VG` or `100%FREE`. */
export function createVolumeCommand(group: string, name: string, extents: string): Command {
  const how = ['--wipesignatures', 'y', '--zero', 'y', '--extents', extents, '--name', name]
  return ['lvcreate', '--yes', '--quiet', ...how, '--', group]
}

export function activateGroupCommand(name: string): Command {
  return ['vgchange', '--activate', 'y', '--quiet', '--', name]
}

export function deactivateGroupCommand(name: string): Command {
  return ['vgchange', '--activate', 'n', '--quiet', '--', name]
}

/** Environment in which programs make the nodes in /dev themselves where no udev does. */
const WITHOUT_UDEV = { MDADM_NO_UDEV: '1', LVM_SUPPRESS_FD_WARNINGS: '1' }

export async function runCommand(
  [program, ...args]: Command,
  signal: AbortSignal | undefined,
): Promise<void> {
  await run(program, args, { signal, env: WITHOUT_UDEV })
}

/** Name and UUID of a running array as mdadm.conf(5) has them. */
export async function readArray(
  device: string,
  signal: AbortSignal,
): Promise<{ readonly uuid: string; readonly name: string }> {
  const { stdout } = await run('mdadm', ['--detail', '--export', device], { signal })
  const values = new Map(stdout.split('\n').map((line) => line.split('=', 2) as [string, string]))
  return { uuid: values.get('MD_UUID') ?? '', name: values.get('MD_NAME') ?? '' }
}

export interface FoundVolumeGroup {
  readonly name: string
  /** Paths of the physical volumes that are there. */
  readonly physicalVolumes: readonly string[]
}

/** The volume groups on all disks of this machine, active or not. */
export async function readVolumeGroups(signal: AbortSignal): Promise<readonly FoundVolumeGroup[]> {
  const how = ['--readonly', '--quiet', '--reportformat', 'json', '--options']
  const { stdout } = await run('vgs', [...how, 'vg_uuid,vg_name,pv_name'], { signal })
  return parseVolumeGroups(stdout)
}

/** `vgs --reportformat json`, a row for each physical volume. */
export function parseVolumeGroups(text: string): readonly FoundVolumeGroup[] {
  const { report = [] } = JSON.parse(text) as { report?: readonly VolumeGroupReport[] }
  const groups = new Map<string, { name: string; physicalVolumes: string[] }>()
  for (const row of report.flatMap(({ vg = [] }) => vg)) {
    const group = groups.get(row.vg_uuid) ?? { name: row.vg_name, physicalVolumes: [] }
    groups.set(row.vg_uuid, group)
    // One that is missing is called "[unknown]".
    if (row.pv_name.startsWith('/')) group.physicalVolumes.push(row.pv_name)
  }
  return [...groups.values()]
}

interface VolumeGroupReport {
  readonly vg?: readonly { readonly vg_uuid: string; vg_name: string; pv_name: string }[]
}

/** Makes subvolumes in a mounted btrfs. */
export async function createSubvolume(path: string, signal: AbortSignal): Promise<void> {
  await run('btrfs', ['subvolume', 'create', path], { signal })
}
