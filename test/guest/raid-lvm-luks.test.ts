// RAID 1, LUKS and LVM on two disks, made by a layout file: what an interruption leaves, going on from there, assembling as
// a booted target would, and what is said and done about a stack that is in use, idle, or of somebody else. One site
// for all, in this order: every deployment takes long in the guest, whose kernel has md and device-mapper.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress, type Progress } from '../../src/core/core.ts'
import { deploy, formatPlan, type DeployPlan } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from '../integration/deploy-sample.ts'

const DISKS = ['/dev/vda', '/dev/vdb'] as const

const STACK = (key: string) => `disks:
  - { name: a, match: { serial: empty1 }, partitions: [{ number: 1, size: 300MiB }, { number: 2, size: 1200MiB }] }
  - { name: b, match: { serial: empty2 }, partitions: [{ number: 1, size: 300MiB }, { number: 2, size: 1200MiB }] }
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

/** Nothing of the stack. */
const PLAIN = `disks:
  - { name: a, match: { serial: empty1 }, table: none, format: ext4, mount: / }
  - { name: b, match: { serial: empty2 }, table: none, format: swap }
`

interface Run {
  readonly layout?: string
  readonly dryRun?: boolean
  readonly progress?: Progress
  readonly signal?: AbortSignal
}

interface Site {
  readonly tree: string
  readonly key: string
  /** The plan that was carried out. */
  deploy(how?: Run): Promise<DeployPlan>
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
  return {
    ...{ tree, key },
    async deploy({ layout = STACK(key), dryRun = false, progress, signal } = {}) {
      const file = { file: 'layout.yaml', text: layout }
      const target = { type: 'disk', devices: [], layout: file } as const
      const plans: DeployPlan[] = []
      const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
      const options = deployOptions(image, target, { peers: [seeder.address], dryRun })
      await deploy(
        options,
        { progress: progress ?? silentProgress, confirm },
        signal ?? scope.signal,
      )
      const [plan] = plans
      assert.ok(plan !== undefined)
      return plan
    },
  }
}

async function assertNothingAssembled(): Promise<void> {
  const { stdout } = await run('lsblk', ['-n', '-o', 'TYPE', ...DISKS])
  assert.deepEqual([...new Set(stdout.trim().split(/\s+/))], ['disk', 'part'])
}

/** As a booted target would, under names of its own. */
async function assemble(key: string): Promise<void> {
  await run('mdadm', ['--assemble', '--run', '/dev/md77', '/dev/vda1', '/dev/vdb1'])
  await run('mdadm', ['--assemble', '--run', '/dev/md78', '/dev/vda2', '/dev/vdb2'])
  await run('cryptsetup', ['open', '--key-file', key, '/dev/md78', 'other'])
  await run('vgchange', ['--activate', 'y', 'web-1'])
}

/** Something else on the third disk that has a name of the layout; it goes with its scope. */
const clashes: readonly (readonly [
  what: string,
  make: readonly string[],
  remove: readonly string[],
  message: RegExp,
])[] = [
  [
    'an array',
    ['mdadm', '--create', '/dev/md/system', '--run', '--level=1', '--force', '-n1', '/dev/vdc'],
    ['mdadm', '--stop', '/dev/md/system'],
    /an array named system is here already, \/dev\/md\/system on \/dev\/vdc$/,
  ],
  [
    'an encrypted device',
    ['dmsetup', 'create', 'secret', '--table', '0 2048 linear /dev/vdc 2048'],
    ['dmsetup', 'remove', '--retry', 'secret'],
    /a mapped device named secret is here already, \/dev\/mapper\/secret on \/dev\/vdc$/,
  ],
  [
    'a volume group',
    ['vgcreate', '--yes', 'web-1', '/dev/vdc'],
    ['vgremove', '--yes', 'web-1'],
    /a volume group named web-1 is here already, web-1 on \/dev\/vdc$/,
  ],
]

test('deploy() to RAID 1, LUKS and LVM', async (t) => {
  await withScope(async (scope) => {
    const site = await prepare(scope)

    for (const [what, make, remove, message] of clashes) {
      await t.test(`refuses the name of ${what} that is on another disk`, async () => {
        const [program = '', ...args] = make
        const before = await run('wipefs', [...DISKS])
        await run(program, args)
        try {
          await assert.rejects(site.deploy(), { code: 'ERR_SI_TARGET_UNSUITABLE', message })
        } finally {
          const [remover = '', ...how] = remove
          await run(remover, how)
          await run('wipefs', ['--all', '--quiet', '/dev/vdc'])
        }
        assert.equal((await run('wipefs', [...DISKS])).stdout, before.stdout)
      })
    }

    await t.test('leaves nothing assembled when it is interrupted', async () => {
      const controller = new AbortController()
      const progress: Progress = {
        ...silentProgress,
        update: ({ phase }) => {
          if (phase === 'writing') controller.abort(new Error('the test interrupts'))
        },
      }
      await assert.rejects(site.deploy({ progress, signal: controller.signal }), {
        code: 'ERR_SI_ABORTED',
      })
      await assertNothingAssembled()
    })

    await t.test('assembles what an interrupted run had made, and goes on', async () => {
      const plan = await site.deploy()
      assert.ok(plan.kind === 'disk' && plan.resumes)
      await assertNothingAssembled()
    })

    await t.test('has made what a booted target can assemble and read', async () => {
      await withScope(async (inner) => {
        await assemble(site.key)
        const at = join(inner.directory, 'mounted')
        await mountDevice(inner, { device: '/dev/mapper/web--1-root', at })
        await mountDevice(inner, { device: '/dev/md77', at: join(at, 'boot') })
        await mountDevice(inner, { device: '/dev/mapper/web--1-srv', at: join(at, 'srv') })
        const excludes = ['lost+found', '/etc/keys', '/etc']
        assert.deepEqual(await compareTrees(site.tree, at, { excludes }), [])
        await run('cmp', [site.key, join(at, 'etc/keys/secret')])
        await assert.rejects(site.deploy(), {
          code: 'ERR_SI_TARGET_UNSUITABLE',
          message: /to \/dev\/vda: it is mounted on .* by way of web--1-root/,
        })
      })
    })

    await t.test('names what is lost with a stack that nobody uses, and releases it', async () => {
      const text = formatPlan(await site.deploy({ layout: PLAIN, dryRun: true }))
      for (const line of [
        /^DESTROY everything on \/dev\/vda:$/m,
        /^ {2}md77 \(raid1\) on it: ext4/m,
        /^ {2}web--1-srv \(LVM\) on it: xfs/m,
        /^ {2}other \(LUKS\) on it: LVM2_member/m,
      ]) {
        assert.match(text, line)
      }
      await run('test', ['-b', '/dev/mapper/web--1-srv']) // a dry run releases nothing
      await site.deploy({ layout: PLAIN })
      const { stdout } = await run('lsblk', ['-n', '-o', 'FSTYPE', ...DISKS])
      assert.deepEqual(stdout.trim().split(/\s+/), ['ext4', 'swap'])
    })
  })
})
