// si-deploy with layouts on loop devices: msdos with logical partitions, several disks, btrfs subvolumes, kept
// partitions, renewed UUIDs, and what is refused before anything is written. Needs root.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy, formatPlan, type DeployPlan } from '../../src/deploy/deploy.ts'
import { canRunArrays, run } from '../../src/host/host.ts'
import type { DiskLayout, LayoutFileSystem } from '../../src/image/image.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { createLoopDisk, mountDevice, type LoopDisk } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
const ROOT_UUID = '22222222-aaaa-4bbb-8ccc-222222222222'

function fileSystem(changes: Partial<LayoutFileSystem>): LayoutFileSystem {
  return {
    ...{ type: 'ext4', uuid: '', label: '', mountPoint: null, mountOptions: '', usedBytes: 0 },
    ...changes,
  }
}

function msdos(): DiskLayout {
  const part = (number: number, start: number, size: number, typeCode: string) => ({
    ...{ number, startBytes: start * MIB, sizeBytes: size * MIB, typeCode, name: '' },
    ...{ uuid: `deadbeef-0${number}`, attributes: '', bootable: number === 1, fileSystem: null },
  })
  return {
    disks: [
      {
        ...{ name: 'sda', sizeBytes: 1000 * MIB, sectorBytes: 512, label: 'dos' },
        partitions: [
          {
            ...part(1, 1, 200, '83'),
            fileSystem: fileSystem({ mountPoint: '/', uuid: ROOT_UUID }),
          },
          part(2, 201, 798, '5'),
          { ...part(5, 202, 50, '82'), fileSystem: fileSystem({ type: 'swap', label: 'swap5' }) },
          {
            ...part(6, 253, 700, '83'),
            fileSystem: fileSystem({ type: 'ext4', mountPoint: '/srv', label: 'srv' }),
          },
        ],
      },
    ],
  }
}

interface Deployed {
  readonly tree: string
  /** Deploys to these disks and returns the plan. */
  deploy(disks: readonly LoopDisk[], layout?: string, dryRun?: boolean): Promise<DeployPlan>
}

async function prepare(scope: Scope, layout: DiskLayout | null): Promise<Deployed> {
  const tree = join(scope.directory, 'golden')
  await mkdir(join(tree, 'srv', 'data'), { recursive: true })
  await mkdir(join(tree, 'etc'))
  await writeFile(join(tree, 'etc', 'motd'), 'golden\n')
  await writeFile(join(tree, 'srv', 'data', 'file'), 'from the image\n'.repeat(5000))
  const directory = join(scope.directory, 'image')
  const image = await makeSampleImage({ tree, directory, layout })
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  return {
    tree,
    async deploy(disks, text, dryRun = false) {
      const plans: DeployPlan[] = []
      const layoutFile = text === undefined ? undefined : { file: 'layout.yaml', text }
      const devices = disks.map(({ device }) => device)
      const target = { type: 'disk', devices, layout: layoutFile } as const
      const options = deployOptions(image, target, { peers: [seeder.address], dryRun })
      const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
      await deploy(options, { progress: silentProgress, confirm }, scope.signal)
      const [plan] = plans
      assert.ok(plan !== undefined)
      return plan
    },
  }
}

async function tag(device: string, name: string): Promise<string> {
  const { stdout } = await run('blkid', ['-p', '-o', 'value', '-s', name, device], {
    okExitCodes: [0, 2],
  })
  return stdout.trim()
}

test('deploy() makes an msdos table with logical partitions again', { skip }, async () => {
  await withScope(async (scope) => {
    const golden = await prepare(scope, msdos())
    const disk = await createLoopDisk(scope, { name: 'msdos', sizeBytes: 700 * MIB })
    await golden.deploy([disk])
    const { stdout } = await run('sfdisk', ['--dump', disk.device])
    assert.match(stdout, /label: dos\nlabel-id: 0xdeadbeef/)
    assert.match(stdout, /p1 : start= +2048, size= +409600, type=83, bootable/)
    assert.match(stdout, /p2 : .*type=f\n/)
    assert.equal(await tag(disk.partition(5), 'LABEL'), 'swap5')
    assert.equal(await tag(disk.partition(1), 'UUID'), ROOT_UUID)
    const at = join(scope.directory, 'mounted')
    await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
    await mountDevice(scope, { device: disk.partition(6), at: join(at, 'srv'), options: ['ro'] })
    assert.deepEqual(await compareTrees(golden.tree, at, { excludes: ['lost+found'] }), [])
  })
})

const TWO_DISKS = `uuid: new
disks:
  - name: system
    partitions:
      - { number: 1, size: 32MiB, type: bios-boot }
      - { number: 2, size: rest, format: ext4, label: root, mount: /, options: noatime }
  - name: data
    partitions:
      - { number: 1, size: 50%, format: xfs, label: srv, mount: /srv }
      - { number: 2, size: 64MiB, format: swap }
`

test(
  'deploy() fills two disks as a layout file says, with UUIDs of their own',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const golden = await prepare(scope, msdos())
      const system = await createLoopDisk(scope, { name: 'system', sizeBytes: 400 * MIB })
      const data = await createLoopDisk(scope, { name: 'data', sizeBytes: 800 * MIB })
      await golden.deploy([system, data], TWO_DISKS)
      const first = await tag(system.partition(2), 'UUID')
      assert.notEqual(first, ROOT_UUID)
      const at = join(scope.directory, 'mounted')
      const table = await run('sfdisk', ['--dump', data.device])
      assert.match(table.stdout, /p1 : start= +2048, size= +817152,/)
      await mountDevice(scope, { device: system.partition(2), at, options: ['ro'] })
      const srv = { device: data.partition(1), at: join(at, 'srv'), options: ['ro', 'nouuid'] }
      await mountDevice(scope, srv)
      assert.deepEqual(await compareTrees(golden.tree, at, { excludes: ['lost+found'] }), [])
    })
  },
)

const SUBVOLUMES = `disks:
  - name: sda
    partitions:
      - number: 1
        size: rest
        format: btrfs
        subvolumes:
          - { path: "@", mount: / }
          - { path: "@srv", mount: /srv, options: noatime }
`

test('deploy() makes btrfs subvolumes and fills each of them', { skip }, async () => {
  await withScope(async (scope) => {
    const golden = await prepare(scope, null)
    const disk = await createLoopDisk(scope, { name: 'btrfs', sizeBytes: 600 * MIB })
    await golden.deploy([disk], SUBVOLUMES)
    const at = join(scope.directory, 'mounted')
    await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
    const inRoot = { excludes: ['/srv'] } // the mount point below
    assert.deepEqual(await compareTrees(golden.tree, join(at, '@'), inRoot), [])
    assert.deepEqual(
      await compareTrees(join(golden.tree, 'srv'), join(at, '@srv'), { excludes: [] }),
      [],
    )
  })
})

const KEPT = (keep: boolean) => `disks:
  - name: sda
    partitions:
      - { number: 1, size: ${keep ? '300MiB' : '200MiB'}, format: ext4, mount: / }
      - { number: 2, ${keep ? 'keep: true' : 'size: 100MiB, name: mine'}, format: ext4, label: precious, mount: /srv }
      - { number: 3, size: rest, format: swap }
`

test(
  'deploy() keeps a partition, its data and its place, and renews what is around it',
  {
    skip,
  },
  async () => {
    await withScope(async (scope) => {
      const golden = await prepare(scope, null)
      const disk = await createLoopDisk(scope, { name: 'kept', sizeBytes: 600 * MIB })
      await golden.deploy([disk], KEPT(false).replace('200MiB', '350MiB'))
      const uuid = await tag(disk.partition(2), 'UUID')
      const at = join(scope.directory, 'before')
      await mkdir(at)
      await run('mount', [disk.partition(2), at])
      await writeFile(join(at, 'mine'), 'not of the image').finally(() => run('umount', [at]))
      const plan = await golden.deploy([disk], KEPT(true), true)
      const text = formatPlan(plan)
      assert.match(
        text,
        /DESTROY everything on .* but partition 2:\n {2}partition 1, 350\.0 MiB: ext4/,
      )
      assert.doesNotMatch(text, /partition 2 "mine", 100\.0 MiB: ext4 "precious" \(/)
      assert.match(text, /partition 2 "mine", 100\.0 MiB: kept as it is: ext4 "precious" for \/srv/)
      await golden.deploy([disk], KEPT(true))
      const { stdout } = await run('sfdisk', ['--dump', disk.device])
      assert.match(stdout, /p1 : start= +2048, size= +614400,/)
      assert.match(stdout, /p2 : start= +718848, size= +204800,.* name="mine"/)
      assert.equal(await tag(disk.partition(2), 'UUID'), uuid)
      const after = join(scope.directory, 'after')
      await mountDevice(scope, { device: disk.partition(2), at: after, options: ['ro'] })
      assert.equal(await readFile(join(after, 'mine'), 'utf8'), 'not of the image')
      const root = join(scope.directory, 'root')
      await mountDevice(scope, { device: disk.partition(1), at: root, options: ['ro'] })
      assert.equal(await readFile(join(root, 'etc', 'motd'), 'utf8'), 'golden\n')
    })
  },
)

const RAID = `disks:
  - { name: a, partitions: [{ number: 1, size: rest }] }
  - { name: b, partitions: [{ number: 1, size: rest }] }
arrays:
  - { name: md0, level: 1, members: [a1, b1], format: ext4, mount: / }
`

test(
  'deploy() refuses layouts and disks that do not go together, and writes nothing',
  {
    skip,
  },
  async () => {
    await withScope(async (scope) => {
      const golden = await prepare(scope, msdos())
      const disk = await createLoopDisk(scope, { name: 'one', sizeBytes: 400 * MIB })
      const other = await createLoopDisk(scope, { name: 'two', sizeBytes: 400 * MIB })
      await run('mkfs.ext4', ['-q', '-F', '-L', 'precious', disk.device])
      const refused = (disks: readonly LoopDisk[], text: string | undefined, message: RegExp) =>
        assert.rejects(golden.deploy(disks, text), { message })
      await refused([disk, other], undefined, /its layout has 1 disks \(sda\)$/)
      await refused([disk, disk], TWO_DISKS, /Cannot use \/dev\/loop\d+ as two disks of the layout/)
      await refused(
        [disk],
        TWO_DISKS.replace('bios-boot', 'bios'),
        /^Cannot use layout\.yaml: line 5/,
      )
      await refused(
        [],
        TWO_DISKS.replace('name: system', 'name: x, match: {by-id: none-*}'),
        /line 3/,
      )
      await refused([disk], KEPT(true), /sda2 is to be kept, but the disk has no partition table/)
      const rule = TWO_DISKS.replace('  - name: data', '  - name: data\n    match: {by-id: none-*}')
      await refused(
        [],
        rule,
        /^Cannot choose disks: no disk fits the rule of disk "data" \(by-id none/,
      )
      if (!(await canRunArrays('1'))) {
        await refused([disk, other], RAID, /this kernel cannot run RAID 1, needed for md0$/)
      }
      assert.equal(await tag(disk.device, 'LABEL'), 'precious')
    })
  },
)
