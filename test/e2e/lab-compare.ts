// The disks of the lab's machines beside the golden machine's, after all of them have run: file for file as rsync sees it, and the
// EFI system partitions. Nothing may differ but what is listed here with its reason.
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../src/host/host.ts'
import * as lab from '../lab/lab.ts'
import { type LabNode, type LabSite } from './lab-site.ts'

/** What may differ on a node, by reason. Whole paths; folders end in a slash. */
const DOCUMENTED: Readonly<Record<string, RegExp>> = {
  'left out of images': /^(tmp\/.*|lost\+found\/|etc\/machine-id|etc\/ssh\/ssh_host_.+)$/,
  'hidden by mounts on the running golden machine': /^(dev|proc|sys|run|boot\/efi)\/.*$/,
  'host name and network': /^etc\/(hostname|hosts|systemd\/network\/.+)$/,
  'boot loader': /^boot\/grub\/.*$/,
  'override and script of the cluster': /^(etc\/(issue|marked)|var\/log\/swarmimager\/.*)$/,
  'written by running machines': /^var\/(tmp|log|lib\/systemd)\/.*$/,
}

export interface MachineFiles {
  /** Its root file system, mounted. */
  readonly tree: string
  /** Its EFI system partition, unpacked. */
  readonly efi: string
}

/** Shows what is on a disk whose machine is off. */
export async function readDisk(
  { scope }: LabSite,
  disk: { readonly name: string; readonly file: string; readonly sizeBytes: number },
): Promise<MachineFiles> {
  const loop = await lab.attachLoop(scope, disk.file, disk.sizeBytes)
  await lab.showPartitions(loop)
  const tree = join(scope.directory, `${disk.name}-tree`)
  const root = await findPartition(loop, 'root')
  await lab.mountDevice(scope, { device: root, at: tree, options: ['ro'] })
  const efi = join(scope.directory, `${disk.name}-efi`)
  await mkdir(efi)
  const from = ['-i', await findPartition(loop, 'EFI'), '::/*']
  await run('mcopy', ['-s', '-n', ...from, efi], { signal: scope.signal })
  return { tree, efi }
}

/** By the label of its file system: a deployment may add partitions before those of the golden machine. */
async function findPartition(disk: lab.LoopDisk, label: string): Promise<string> {
  const { stdout } = await run('blkid', ['--match-token', `LABEL=${label}`, '--output', 'device'])
  const found = stdout.split('\n').find((device) => device.startsWith(`${disk.device}p`))
  if (found === undefined) throw new Error(`${disk.device} has no file system "${label}"`)
  return found
}

/** The differences that nothing explains, one a line. */
export async function findDifferences(
  { scope: { signal } }: LabSite,
  golden: MachineFiles,
  node: MachineFiles & { readonly firmware: LabNode['firmware'] },
): Promise<string[]> {
  const loaders = node.firmware === 'uefi' ? ['--exclude=BOOT', '--exclude=debian'] : []
  const args = ['--recursive', '--brief', ...loaders, golden.efi, node.efi]
  const { stdout } = await run('diff', args, { okExitCodes: [0, 1], signal })
  const inEfi = stdout.split('\n').filter((line) => line !== '')
  const all = await lab.compareTrees(golden.tree, node.tree, { excludes: [], signal })
  const paths = all.map((line) => line.slice(ITEM_LENGTH))
  const explained = paths.filter((path) =>
    Object.values(DOCUMENTED).some((pattern) => pattern.test(path)),
  )
  // What was made or removed in a folder changed its time.
  const touched = new Set(explained.map((path) => `${dirname(path)}/`.replace(/^\.\/$/, './')))
  const inTree = all.filter((line, index) => {
    const path = paths[index] ?? ''
    return !explained.includes(path) && !(line.startsWith('.d..t...... ') && touched.has(path))
  })
  return [...inEfi, ...inTree]
}

/** rsync's eleven letters and a blank. */
const ITEM_LENGTH = 12
