// RAID 1, LUKS and LVM on two disks: made by a layout file, filled, taken apart, assembled again as a booted target
// would, and refused while in use. Runs in the guest: its kernel has md and device-mapper.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from '../integration/deploy-sample.ts'

const DISKS = ['/dev/vda', '/dev/vdb'] as const

const layout = (key: string) => `disks:
  - { name: a, match: { serial: empty1 }, partitions: [{ number: 1, size: 300MiB }, { number: 2, size: 2GiB }] }
  - { name: b, match: { serial: empty2 }, partitions: [{ number: 1, size: 300MiB }, { number: 2, size: 2GiB }] }
arrays:
  - { name: md0, level: 1, metadata: "1.0", members: [a1, b1], format: ext4, mount: /boot }
  - { name: system, level: 1, members: [a2, b2] }
encrypted:
  - { name: secret, device: system, key-file: ${key}, key-in-target: /etc/keys/secret }
volume-groups:
  - name: web-1
    members: [secret]
    volumes:
      - { name: root, size: 600MiB, format: ext4, mount: / }
      - { name: swap, size: 10%, format: swap }
      - { name: srv, size: rest, format: xfs, mount: /srv }
`

interface Site {
  readonly tree: string
  readonly key: string
  deploy(): Promise<void>
}

async function prepare(scope: Scope): Promise<Site> {
  const tree = join(scope.directory, 'golden')
  for (const folder of ['boot', 'srv/data', 'etc']) {
    await mkdir(join(tree, folder), { recursive: true })
  }
  await writeFile(join(tree, 'etc/motd'), 'golden\n')
  await writeFile(join(tree, 'boot/vmlinuz'), 'kernel '.repeat(100_000))
  await writeFile(join(tree, 'srv/data/file'), 'from the image\n'.repeat(200_000))
  const image = await makeSampleImage({ tree, directory: join(scope.directory, 'image') })
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  const key = join(scope.directory, 'key')
  await writeFile(key, 'a key of the test', { mode: 0o400 })
  const file = { file: 'layout.yaml', text: layout(key) }
  return {
    ...{ tree, key },
    async deploy() {
      const target = { type: 'disk', devices: [], layout: file } as const
      const confirm = () => Promise.resolve()
      const options = deployOptions(image, target, { peers: [seeder.address] })
      await deploy(options, { progress: silentProgress, confirm }, scope.signal)
    },
  }
}

/** Assembles what was deployed, as a booted target would, and takes it apart again. */
async function withAssembled(scope: Scope, key: string, act: () => Promise<void>): Promise<void> {
  await run('mdadm', ['--assemble', '--run', '/dev/md0', '/dev/vda1', '/dev/vdb1'])
  await run('mdadm', ['--assemble', '--run', '/dev/md1', '/dev/vda2', '/dev/vdb2'])
  await run('cryptsetup', ['open', '--key-file', key, '/dev/md1', 'secret'])
  await run('vgchange', ['--activate', 'y', 'web-1'])
  scope.defer('stack', async () => {
    await run('vgchange', ['--activate', 'n', 'web-1'])
    await run('cryptsetup', ['close', 'secret'])
    await run('mdadm', ['--stop', '/dev/md0', '/dev/md1'])
  })
  await act()
}

test('deploy() makes RAID 1, LUKS and LVM, and leaves nothing of it assembled', async () => {
  await withScope(async (scope) => {
    const site = await prepare(scope)
    await site.deploy()
    const { stdout } = await run('lsblk', ['-n', '-o', 'TYPE', ...DISKS])
    assert.deepEqual([...new Set(stdout.trim().split(/\s+/))], ['disk', 'part'])
    await withAssembled(scope, site.key, async () => {
      const at = join(scope.directory, 'mounted')
      await mountDevice(scope, { device: '/dev/mapper/web--1-root', at })
      await mountDevice(scope, { device: '/dev/md0', at: join(at, 'boot') })
      await mountDevice(scope, { device: '/dev/mapper/web--1-srv', at: join(at, 'srv') })
      const excludes = ['lost+found', '/etc/keys', '/etc']
      assert.deepEqual(await compareTrees(site.tree, at, { excludes }), [])
      await run('cmp', [site.key, join(at, 'etc/keys/secret')])
      await assert.rejects(site.deploy(), {
        code: 'ERR_SI_TARGET_UNSUITABLE',
        message: /to \/dev\/vda: it is mounted on .* by way of web--1-root/,
      })
    })
  })
})
