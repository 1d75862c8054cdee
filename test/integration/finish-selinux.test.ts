// What distributions of the Fedora family are finished by: dracut and SELinux's setfiles, here on a Debian that has them, with
// its root on xfs. This machine's kernel needs no SELinux: labels are attributes. Needs root.
import assert from 'node:assert/strict'
import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy, PLAIN_FINISH } from '../../src/deploy/deploy.ts'
import { openTargetSystem } from '../../src/deploy/finish/target-system.ts'
import { openTargetTree } from '../../src/deploy/finish/target-tree.ts'
import { lgetxattr, run } from '../../src/host/host.ts'
import { buildDebian, PACK_TARBALL } from '../lab/debian-tree.ts'
import { createLoopDisk, mountDevice } from '../lab/loop-disk.ts'
import { withScope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20

/** Debian's kernel asks for Debian's own maker of initramfs, which would be preferred. */
const PACK = `
rm "$1/usr/sbin/update-initramfs" "$1"/boot/initrd.img-*
${PACK_TARBALL}`

const SYSTEM = {
  ...{ name: 'selinux', suffix: '.tar.zst', pack: PACK },
  packages: [
    ...['dracut-core', 'linux-image-cloud-amd64', 'systemd-sysv', 'udev', 'xfsprogs', 'zstd'],
    ...['policycoreutils', 'selinux-policy-default'],
  ],
}

const LAYOUT =
  'disks:\n  - { name: a, partitions: [{ number: 1, size: rest, format: xfs, mount: / }] }\n'

const CONFIG = 'SELINUX=permissive\nSELINUXTYPE=default\n'

test('deploy() makes an initramfs by dracut, and labels what it wrote', { skip }, async () => {
  await withScope(async (scope) => {
    const tree = join(scope.directory, 'golden')
    await mkdir(tree)
    const tarball = await buildDebian(scope, SYSTEM, () => {})
    await run('tar', ['--extract', '--file', tarball, '--numeric-owner', '--directory', tree])
    await writeFile(join(tree, 'etc/selinux/config'), CONFIG)
    const contexts = '/etc/selinux/default/contexts/files/file_contexts'
    const system = await openTargetSystem(openTargetTree(tree), null, scope.signal)
    await system.run('setfiles', ['-m', '-F', contexts, '/etc'])
    const image = await makeSampleImage({ tree, directory: join(scope.directory, 'image') })
    const seeder = await seedSample(image)
    scope.defer('seeder', () => seeder.close())
    const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 1500 * MIB })
    const layout = { file: 'layout.yaml', text: LAYOUT }
    const target = { type: 'disk', devices: [disk.device], layout } as const
    const finish = { ...PLAIN_FINISH, hostName: 'node07' }
    const io = { progress: silentProgress, confirm: () => Promise.resolve() }
    const options = deployOptions(image, target, { peers: [seeder.address], finish })
    await deploy(options, io, scope.signal)
    const at = join(scope.directory, 'deployed')
    await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
    await assert.rejects(access(join(at, '.autorelabel')))
    const initramfs = (await readdir(join(at, 'boot'))).find((name) => /^initr/.test(name))
    assert.ok(initramfs !== undefined)
    for (const file of ['etc/hostname', `boot/${initramfs}`]) {
      const label = lgetxattr(join(at, file), 'security.selinux') ?? ''
      assert.match(label.toString(), /^system_u:object_r:/, file)
    }
    const { stdout } = await run('chroot', [at, 'lsinitrd', `/boot/${initramfs}`])
    assert.match(stdout, /kernel\/fs\/xfs\/xfs\.ko/)
  })
})
