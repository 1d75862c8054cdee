// A deployed disk becomes a machine of its own: a real Debian without a kernel on a loop device, finished by its own
// programs, which see nothing of the machine that deploys. Needs root.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress, type Progress } from '../../src/core/core.ts'
import {
  deploy,
  PLAIN_FINISH,
  type DeployOptions,
  type DeployPlan,
} from '../../src/deploy/deploy.ts'
import { openTargetSystem } from '../../src/deploy/finish/target-system.ts'
import { openTargetTree } from '../../src/deploy/finish/target-tree.ts'
import type { MadeStorage } from '../../src/deploy/made-storage.ts'
import { readMounts, run } from '../../src/host/host.ts'
import type { DiskLayout } from '../../src/image/image.ts'
import { debianTarball } from '../lab/debian-tree.ts'
import { createLoopDisk, mountDevice, type LoopDisk } from '../lab/loop-disk.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample, type SampleImage } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
const ROOT_UUID = '44444444-aaaa-4bbb-8ccc-444444444444'

const LAYOUT: DiskLayout = {
  disks: [
    {
      ...{ name: 'sda', sizeBytes: 1024 * MIB, sectorBytes: 512, label: 'gpt' },
      partitions: [
        {
          ...{ number: 1, startBytes: MIB, sizeBytes: 1000 * MIB, bootable: false },
          ...{ typeCode: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', name: '', uuid: '' },
          attributes: '',
          fileSystem: {
            ...{ type: 'ext4', uuid: ROOT_UUID, label: 'root', mountPoint: '/' },
            ...{ mountOptions: 'errors=remount-ro', usedBytes: 200 * MIB },
          },
        },
      ],
    },
  ],
}

/** The tree of a Debian with the traces of a golden client. */
async function makeGoldenTree(scope: Scope): Promise<string> {
  const disk = await createLoopDisk(scope, { name: 'golden', sizeBytes: 1024 * MIB })
  await run('mkfs.ext4', ['-q', disk.device])
  const tree = join(scope.directory, 'golden')
  await mountDevice(scope, { device: disk.device, at: tree })
  const tarball = await debianTarball(scope, () => {})
  await run('tar', ['--extract', '--file', tarball, '--numeric-owner', '--directory', tree])
  await writeFile(join(tree, 'etc/fstab'), `/dev/sda1 / ext4 errors=remount-ro 0 1\n`)
  await writeFile(join(tree, 'etc/hostname'), 'golden01\n')
  await writeFile(join(tree, 'etc/hosts'), '127.0.0.1 localhost\n127.0.1.1 golden01\n')
  await writeFile(join(tree, 'etc/machine-id'), '0123456789abcdef0123456789abcdef\n')
  await writeFile(join(tree, 'etc/ssh/ssh_host_rsa_key'), 'the golden client’s\n')
  await mkdir(join(tree, 'etc/lvm/devices'), { recursive: true })
  await writeFile(join(tree, 'etc/lvm/devices/system.devices'), 'IDTYPE=sys_wwid IDNAME=t10.X\n')
  return tree
}

interface Deployment {
  readonly image: SampleImage
  readonly peers: readonly string[]
  readonly disk: LoopDisk
}

async function prepare(scope: Scope): Promise<Deployment> {
  const tree = await makeGoldenTree(scope)
  const directory = join(scope.directory, 'image')
  const image = await makeSampleImage({ tree, directory, layout: LAYOUT, pieceLengthBytes: MIB })
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 1200 * MIB })
  return { image, peers: [seeder.address], disk }
}

function optionsOf(made: Deployment, changes: Partial<DeployOptions> = {}): DeployOptions {
  const finish = { ...PLAIN_FINISH, hostName: 'node07.lab' }
  const target = { type: 'disk', devices: [made.disk.device] } as const
  return deployOptions(made.image, target, { peers: made.peers, finish, ...changes })
}

async function assertNothingMounted(): Promise<void> {
  const left = (await readMounts()).filter(({ mountPoint }) => mountPoint.includes('/run/swarmim'))
  assert.deepEqual(left, [])
}

test('deploy() gives a disk its own fstab, name, machine id and host keys', { skip }, async () => {
  await withScope(async (scope) => {
    const made = await prepare(scope)
    const plans: DeployPlan[] = []
    const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
    const io = { progress: silentProgress, confirm }
    const report = await deploy(optionsOf(made), io, scope.signal)
    assert.deepEqual(report.leftOut, [
      'the machine will have no network: the image has neither systemd-networkd, ifupdown nor NetworkManager enabled',
      'no boot loader in the image: the disk does not boot by itself',
    ])
    assert.deepEqual(plans[0]?.finishing, [
      ...['fstab: disks by UUID', 'host name: node07.lab'],
      'network: none, as the image has neither systemd-networkd, ifupdown nor NetworkManager enabled',
      'new machine id and ssh host keys',
      'boot loader: none, as the image has none',
    ])
    const tree = join(scope.directory, 'deployed')
    await mountDevice(scope, { device: made.disk.partition(1), at: tree, options: ['ro'] })
    const read = (path: string) => readFile(join(tree, path), 'utf8')
    assert.equal(await read('etc/fstab'), `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n`)
    assert.equal(await read('etc/hostname'), 'node07\n')
    assert.equal(await read('etc/hosts'), '127.0.0.1 localhost\n127.0.1.1 node07.lab node07\n')
    assert.equal(await read('etc/machine-id'), '')
    assert.match(await read('etc/ssh/ssh_host_rsa_key'), /^-----BEGIN OPENSSH PRIVATE KEY/)
    assert.deepEqual(await readdir(join(tree, 'etc/lvm/devices')), [])
    await assertNothingMounted()
  })
})

test(
  'deploy() that is interrupted while it finishes goes on, and ends as if it had not been',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const made = await prepare(scope)
      const controller = new AbortController()
      const progress: Progress = {
        ...silentProgress,
        update: ({ detail }) => {
          if (detail === 'ssh host keys') controller.abort()
        },
      }
      const confirm = () => Promise.resolve()
      await assert.rejects(deploy(optionsOf(made), { progress, confirm }, controller.signal), {
        code: 'ERR_SI_ABORTED',
      })
      await assertNothingMounted()
      const io = { progress: silentProgress, confirm }
      const report = await deploy(optionsOf(made), io, scope.signal)
      assert.ok(report.resumedPieces > 0)
      assert.ok(report.finishing.some(({ name }) => name === 'ssh host keys'))
      const tree = join(scope.directory, 'deployed')
      await mountDevice(scope, { device: made.disk.partition(1), at: tree, options: ['ro'] })
      assert.equal(
        await readFile(join(tree, 'etc/fstab'), 'utf8'),
        `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n`,
      )
      assert.equal(await readFile(join(tree, 'etc/hostname'), 'utf8'), 'node07\n')
    })
  },
)

test(
  'programs of the target see its disks, no other, and nothing of theirs stays',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const directory = await makeGoldenTree(scope)
      const other = await createLoopDisk(scope, { name: 'other', sizeBytes: 64 * MIB })
      const own = await createLoopDisk(scope, { name: 'own', sizeBytes: 64 * MIB })
      await run('mkfs.ext4', ['-q', '-U', ROOT_UUID, own.device])
      const disk = { label: 'gpt', hasBiosBootPartition: false, efiPartitions: [] } as const
      const root = { type: 'ext4', uuid: ROOT_UUID, label: '', mountPoint: '/', mountOptions: '' }
      const storage: MadeStorage = {
        ...{
          disks: [{ device: own.device, ...disk }],
          arrays: [],
          volumeGroups: [],
          encrypted: [],
        },
        fileSystems: [{ device: own.device, ...root }],
      }
      const controller = new AbortController()
      const tree = openTargetTree(directory)
      const system = await openTargetSystem(tree, storage, controller.signal)
      const sh = async (script: string) => (await system.run('sh', ['-ec', script])).stdout.trim()
      assert.equal(await sh('ls -d /dev/loop*'), own.device)
      assert.equal(await sh(`readlink /dev/disk/by-uuid/${ROOT_UUID}`), own.device)
      assert.equal(
        await sh(`test -b ${own.device} && test ! -e ${other.device} && echo yes`),
        'yes',
      )
      assert.match(await sh('ls /run'), /^(lock|lvm|mdadm|\n)+$/) // no udev, no systemd
      assert.equal(await sh('echo $$'), '1')
      await sh('nohup sleep 7654321 >/dev/null 2>&1 &')
      const isRunning = async () =>
        (await run('pgrep', ['-f', 'sleep 7654321'], { okExitCodes: [0, 1] })).exitCode === 0
      await waitFor('the end of what was left running', async () => !(await isRunning()), {
        deadlineMs: 10_000,
      })
      const before = (await readMounts()).length
      const waiting = system.run('sleep', ['7654321'])
      await waitFor('a running program', isRunning, { deadlineMs: 20_000 })
      controller.abort()
      await assert.rejects(waiting, { code: 'ERR_SI_ABORTED' })
      await waitFor('its end', async () => !(await isRunning()), { deadlineMs: 10_000 })
      assert.equal((await readMounts()).length, before)
    })
  },
)
