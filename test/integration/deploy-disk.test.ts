// si-deploy --disk as a library on loop devices: the golden layout on a larger and a smaller disk, every
// refusal before anything is written. Needs root.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { isSiError, silentProgress } from '../../src/core/core.ts'
import { deploy, formatPlan, type DeployPlan } from '../../src/deploy/deploy.ts'
import { canMount, readMounts, run } from '../../src/host/host.ts'
import type { DiskLayout } from '../../src/image/image.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { writeNastyContent } from '../lab/golden-content.ts'
import { createLoopDisk, mountDevice, type LoopDisk } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample, type SampleImage } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const io = { progress: silentProgress, confirm: () => Promise.resolve() }
const MIB = 2 ** 20

const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
const UUIDS = ['1', '2', '3', '4', '5', '6'].map(
  (digit) => `${digit.repeat(8)}-aaaa-4bbb-8ccc-${digit.repeat(12)}`,
)

const LAYOUT: DiskLayout = {
  disks: [
    {
      ...{ name: 'sda', sizeBytes: 2048 * MIB, sectorBytes: 512, label: 'gpt' },
      partitions: [
        {
          ...{ number: 1, startBytes: MIB, sizeBytes: 40 * MIB, bootable: false },
          typeCode: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
          ...{ name: 'EFI system', uuid: UUIDS[0] ?? '', attributes: '' },
          fileSystem: {
            ...{ type: 'vfat', uuid: 'ABCD-1234', label: 'ESP', mountPoint: null },
            ...{ mountOptions: '', usedBytes: 0 },
          },
        },
        {
          ...{ number: 2, startBytes: 41 * MIB, sizeBytes: 32 * MIB, bootable: false },
          typeCode: '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F',
          ...{ name: '', uuid: UUIDS[1] ?? '', attributes: '' },
          fileSystem: {
            ...{ type: 'swap', uuid: UUIDS[4] ?? '', label: 'swap', mountPoint: null },
            ...{ mountOptions: '', usedBytes: 0 },
          },
        },
        {
          ...{ number: 5, startBytes: 73 * MIB, sizeBytes: 200 * MIB, bootable: true },
          ...{ typeCode: LINUX, name: 'the "root"', uuid: UUIDS[2] ?? '' },
          attributes: 'LegacyBIOSBootable GUID:60',
          fileSystem: {
            ...{ type: 'ext4', uuid: UUIDS[5] ?? '', label: 'rootfs', mountPoint: '/' },
            ...{ mountOptions: 'rw,relatime', usedBytes: 40 * MIB },
          },
        },
        {
          ...{ number: 3, startBytes: 273 * MIB, sizeBytes: 1700 * MIB, bootable: false },
          ...{ typeCode: LINUX, name: 'srv', uuid: UUIDS[3] ?? '', attributes: '' },
          fileSystem: {
            ...{ type: 'xfs', uuid: UUIDS[3] ?? '', label: 'srv', mountPoint: '/srv' },
            ...{ mountOptions: 'rw', usedBytes: 50 * MIB },
          },
        },
      ],
    },
  ],
}

async function makeGolden(
  scope: Scope,
  layout: DiskLayout = LAYOUT,
): Promise<{ tree: string; image: SampleImage }> {
  const tree = join(scope.directory, 'golden')
  await writeNastyContent(scope, tree)
  // xfs shows ACLs as attributes of its own too: the golden client needs one as well.
  const srv = await createLoopDisk(scope, { name: 'golden-srv', sizeBytes: 320 * MIB })
  await run('mkfs.xfs', ['-q', '-f', srv.device])
  await mountDevice(scope, { device: srv.device, at: join(tree, 'srv') })
  await writeNastyContent(scope, join(tree, 'srv', 'nasty'))
  const image = await makeSampleImage({
    ...{ tree, directory: join(scope.directory, 'image'), layout },
  })
  return { tree, image }
}

async function seed(scope: Scope, image: SampleImage): Promise<readonly string[]> {
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  return [seeder.address]
}

async function compareDisk(scope: Scope, disk: LoopDisk, tree: string): Promise<string[]> {
  const at = join(scope.directory, `mounted-${disk.sizeBytes}`)
  await mountDevice(scope, { device: disk.partition(5), at, options: ['ro'] })
  await mountDevice(scope, {
    device: disk.partition(3),
    at: join(at, 'srv'),
    options: ['ro', 'nouuid'],
  })
  return compareTrees(tree, at, { excludes: ['/lost+found'] })
}

async function writtenSectors(device: string): Promise<string | undefined> {
  await run('sync', [device])
  return (await readFile(`/sys/block/${basename(device)}/stat`, 'utf8')).trim().split(/ +/)[6]
}

async function assertNothingMounted(): Promise<void> {
  const left = (await readMounts()).filter(({ mountPoint }) =>
    mountPoint.includes('/run/swarmimager/'),
  )
  assert.deepEqual(left, [])
}

for (const sizeBytes of [1000 * MIB, 3000 * MIB]) {
  const title = `deploy() fits the layout to a disk of ${sizeBytes / MIB} MiB`
  test(title, { skip }, async () => {
    await withScope(async (scope) => {
      const { tree, image } = await makeGolden(scope)
      const peers = await seed(scope, image)
      const disk = await createLoopDisk(scope, { name: 'target', sizeBytes })
      const plans: DeployPlan[] = []
      const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
      const target = { type: 'disk', devices: [disk.device] } as const
      await deploy(deployOptions(image, target, { peers }), { ...io, confirm }, scope.signal)
      await assertNothingMounted()
      assert.deepEqual(await compareDisk(scope, disk, tree), [])
      const table = JSON.parse((await run('sfdisk', ['--json', disk.device])).stdout) as {
        partitiontable: { label: string; partitions: Record<string, unknown>[] }
      }
      assert.equal(table.partitiontable.label, 'gpt')
      const found = table.partitiontable.partitions.map(({ node, start, size, name, attrs }) => ({
        ...{ node: String(node).slice(disk.device.length), start, size, name, attrs },
      }))
      assert.deepEqual(found, [
        { node: 'p1', start: 2048, size: 40 * 2048, name: 'EFI system', attrs: undefined },
        { node: 'p2', start: 41 * 2048, size: 32 * 2048, name: undefined, attrs: undefined },
        {
          ...{ node: 'p3', start: 273 * 2048, size: (sizeBytes / MIB - 274) * 2048, name: 'srv' },
          attrs: undefined,
        },
        {
          ...{ node: 'p5', start: 73 * 2048, size: 200 * 2048, name: 'the "root"' },
          attrs: 'LegacyBIOSBootable GUID:60',
        },
      ])
      const tags = async (number: number) => {
        const { stdout } = await run('blkid', ['-p', '-o', 'export', disk.partition(number)])
        return stdout
          .split('\n')
          .filter((line) => /^(TYPE|UUID|LABEL)=/.test(line))
          .sort()
      }
      assert.deepEqual(await tags(1), ['LABEL=ESP', 'TYPE=vfat', 'UUID=ABCD-1234'])
      assert.deepEqual(await tags(2), ['LABEL=swap', 'TYPE=swap', `UUID=${UUIDS[4] ?? ''}`])
      assert.deepEqual(await tags(5), ['LABEL=rootfs', 'TYPE=ext4', `UUID=${UUIDS[5] ?? ''}`])
      assert.deepEqual(await tags(3), ['LABEL=srv', 'TYPE=xfs', `UUID=${UUIDS[3] ?? ''}`])
      assert.match(formatPlan(plans[0] as DeployPlan), /partition 3 "srv".*for \/srv/)
    })
  })
}

test(
  'deploy() refuses a disk that is too small, mounted, or none, and leaves it as it was',
  {
    skip,
  },
  async () => {
    await withScope(async (scope) => {
      const { image } = await makeGolden(scope)
      const peers = await seed(scope, image)
      const attempt = async (device: string) => {
        const target = { type: 'disk', devices: [device] } as const
        return deploy(deployOptions(image, target, { peers }), io, scope.signal).then(
          () => 'deployed',
          (error: unknown) => (isSiError(error) ? `${error.code} ${error.message}` : String(error)),
        )
      }
      const small = await createLoopDisk(scope, { name: 'small', sizeBytes: 300 * MIB })
      await run('mkfs.ext4', ['-q', '-F', '-L', 'precious', small.device])
      const before = await writtenSectors(small.device)
      assert.equal(
        await attempt(small.device),
        `ERR_SI_TARGET_UNSUITABLE Cannot deploy image "sample" to ${small.device}: disk holds 300.0 MiB, image needs 574.0 MiB (274.0 MiB more)`,
      )
      assert.equal(await writtenSectors(small.device), before)
      await mountDevice(scope, { device: small.device, at: join(scope.directory, 'mounted') })
      assert.match(
        await attempt(small.device),
        /^ERR_SI_TARGET_UNSUITABLE .*mounted on .*\/mounted$/,
      )
      const file = join(scope.directory, 'file')
      await writeFile(file, '')
      assert.match(await attempt(file), /^ERR_SI_TARGET_UNSUITABLE .*it is no block device$/)
      assert.match(await attempt('/dev/none'), /^ERR_SI_TARGET_UNSUITABLE .*ENOENT/)
    })
  },
)

test('deploy() with dryRun tells what would be lost and writes nothing', { skip }, async () => {
  await withScope(async (scope) => {
    const { image } = await makeGolden(scope)
    const peers = await seed(scope, image)
    const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 700 * MIB })
    await run('sfdisk', ['-q', '--no-reread', '--no-tell-kernel', disk.device], {
      input: 'label: gpt\n1 : size=100MiB, name=old\n',
    })
    await run('mkfs.ext4', [
      '-q',
      '-F',
      '-E',
      'offset=1048576',
      '-L',
      'precious',
      disk.device,
      '50M',
    ])
    const before = await writtenSectors(disk.device)
    const plans: DeployPlan[] = []
    const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
    const target = { type: 'disk', devices: [disk.device] } as const
    const options = deployOptions(image, target, { peers, dryRun: true })
    await deploy(options, { ...io, confirm }, scope.signal)
    assert.match(
      formatPlan(plans[0] as DeployPlan),
      /DESTROY everything on .*\n {2}partition 1 "old", 100.0 MiB: ext4 "precious"/,
    )
    assert.equal(await writtenSectors(disk.device), before)
  })
})

test('deploy() refuses before erasing what this kernel could not mount', { skip }, async () => {
  if (await canMount('vfat')) return // nothing to refuse on this machine
  await withScope(async (scope) => {
    const [golden] = LAYOUT.disks
    assert.ok(golden !== undefined)
    const partitions = golden.partitions.map((partition) =>
      partition.fileSystem?.type === 'vfat'
        ? { ...partition, fileSystem: { ...partition.fileSystem, mountPoint: '/boot/efi' } }
        : partition,
    )
    const { image } = await makeGolden(scope, { disks: [{ ...golden, partitions }] })
    const peers = await seed(scope, image)
    const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 1000 * MIB })
    const before = await writtenSectors(disk.device)
    const target = { type: 'disk', devices: [disk.device] } as const
    await assert.rejects(deploy(deployOptions(image, target, { peers }), io, scope.signal), {
      code: 'ERR_SI_TARGET_UNSUITABLE',
      message: `Cannot deploy to ${disk.device}: this kernel cannot mount vfat, needed for /boot/efi`,
    })
    assert.equal(await writtenSectors(disk.device), before)
  })
})
