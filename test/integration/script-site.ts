// Deployments of a tiny system onto a loop device or into a directory, for tests of scripts. Needs root.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { silentProgress } from '../../src/core/core.ts'
import {
  deploy,
  PLAIN_FINISH,
  SCRIPT_TIME_LIMIT_MS,
  type DeployIo,
  type DeployOptions,
  type DeployReport,
  type Script,
  type ScriptOptions,
} from '../../src/deploy/deploy.ts'
import type { DiskLayout } from '../../src/image/image.ts'
import { createLoopDisk, mountDevice, type LoopDisk } from '../lab/loop-disk.ts'
import type { Scope } from '../lab/scope.ts'
import { makeTinySystem } from '../lab/tiny-system.ts'
import { deployOptions, makeSampleImage, seedSample } from './deploy-sample.ts'

const MIB = 2 ** 20

const LAYOUT: DiskLayout = {
  disks: [
    {
      ...{ name: 'sda', sizeBytes: 64 * MIB, sectorBytes: 512, label: 'gpt' },
      partitions: [
        {
          ...{ number: 1, startBytes: MIB, sizeBytes: 60 * MIB, bootable: false },
          ...{ typeCode: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', name: '', uuid: '' },
          attributes: '',
          fileSystem: {
            ...{ type: 'ext4', uuid: '55555555-aaaa-4bbb-8ccc-555555555555', label: 'root' },
            ...{ mountPoint: '/', mountOptions: '', usedBytes: 20 * MIB },
          },
        },
      ],
    },
  ],
}

export const script = (name: string, text: string): Script => ({ name, text })

export interface ScriptSite {
  readonly disk: LoopDisk
  /** Of the next deployments: what they noted. */
  readonly notes: string[]
  deploy(how: {
    readonly scripts?: Partial<ScriptOptions>
    readonly options?: Partial<DeployOptions>
    readonly io?: Partial<DeployIo>
    readonly signal?: AbortSignal
  }): Promise<DeployReport>
  /** Mounts the disk and gives where. */
  look(): Promise<string>
}

export async function makeScriptSite(
  scope: Scope,
  files: Readonly<Record<string, string>> = {},
): Promise<ScriptSite> {
  const tree = join(scope.directory, 'golden')
  await mkdir(tree)
  await makeTinySystem(tree, files)
  const directory = join(scope.directory, 'image')
  const image = await makeSampleImage({ tree, directory, layout: LAYOUT })
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 80 * MIB })
  const notes: string[] = []
  const finish = { ...PLAIN_FINISH, hostName: 'node07' }
  let looks = 0
  return {
    ...{ disk, notes },
    deploy({ scripts = {}, options = {}, io = {}, signal = scope.signal }) {
      const target = { type: 'disk', devices: [disk.device] } as const
      const whole: ScriptOptions = {
        ...{ preInstall: [], postInstall: [], onFailure: 'stop', parameters: {}, groups: [] },
        ...{ timeLimitMs: SCRIPT_TIME_LIMIT_MS, server: '' },
        ...scripts,
      }
      const how = { peers: [seeder.address], finish, scripts: whole, ...options }
      const progress = { ...silentProgress, note: (text: string) => void notes.push(text) }
      const confirm = () => Promise.resolve()
      return deploy(deployOptions(image, target, how), { progress, confirm, ...io }, signal)
    },
    async look() {
      const at = join(scope.directory, `deployed${++looks}`)
      await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
      return at
    },
  }
}
