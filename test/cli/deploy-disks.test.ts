// si-deploy on disks as an administrator meets it: layout files from si-lsimage, what the plan names, what has to be
// confirmed, and what is said when disks or files are not as they should be. Needs root.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { listDisks, run, type RunResult } from '../../src/host/host.ts'
import type { DiskLayout } from '../../src/image/image.ts'
import { createLoopDisk, mountDevice, showPartitions } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { makeSampleImage, seedSample } from '../integration/deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const SI = join(import.meta.dirname, '../../src/cli/si')
const MIB = 2 ** 20

const GOLDEN: DiskLayout = {
  disks: [
    {
      ...{ name: 'sda', sizeBytes: 500 * MIB, sectorBytes: 512, label: 'gpt' },
      partitions: [
        {
          ...{ number: 1, startBytes: MIB, sizeBytes: 400 * MIB, name: 'system', uuid: '' },
          ...{ typeCode: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', attributes: '', bootable: false },
          fileSystem: {
            ...{ type: 'ext4', uuid: '', label: 'root', mountPoint: '/', mountOptions: '' },
            usedBytes: MIB,
          },
        },
      ],
    },
  ],
}

const TWO_DISKS = `disks:
  - name: system
    partitions:
      - { number: 1, size: 100MiB, format: ext4, label: root, mount: / }
      - { number: 2, size: rest, format: swap }
  - name: data
    table: none
    format: ext4
    label: srv
    mount: /srv
`

interface Site {
  readonly repository: string
  /** Writes a layout file; its path. */
  layout(text: string): Promise<string>
  deploy(...args: readonly string[]): Promise<RunResult>
}

async function prepare(scope: Scope): Promise<Site> {
  const tree = join(scope.directory, 'golden')
  await mkdir(join(tree, 'srv'), { recursive: true })
  await writeFile(join(tree, 'srv/file'), 'from the image\n')
  const repository = join(scope.directory, 'repository')
  const directory = join(repository, 'images/sample/1')
  const image = await makeSampleImage({ tree, directory, layout: GOLDEN })
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  const from = ['--torrent', image.torrentPath, '--peer', seeder.address, '--allow-unsigned']
  return {
    repository,
    async layout(text) {
      const file = join(scope.directory, 'layout.yaml')
      await writeFile(file, text)
      return file
    },
    deploy: (...args) => si('deploy', ...from, '--no-local-discovery', '--no-finish', ...args),
  }
}

/** Whatever the exit status. */
function si(...args: readonly string[]): Promise<RunResult> {
  const okExitCodes = Array.from({ length: 256 }, (_, status) => status)
  return run(SI, args, { okExitCodes })
}

test(
  'si deploy --dry-run names every disk, partition and file system that would be lost',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const site = await prepare(scope)
      const system = await createLoopDisk(scope, { name: 'system', sizeBytes: 300 * MIB })
      const data = await createLoopDisk(scope, { name: 'data', sizeBytes: 200 * MIB })
      const old = 'label: gpt\nsize=64MiB, name="old root"\nsize=32MiB\nsize=16MiB\n'
      await run('sfdisk', ['--quiet', system.device], { input: old })
      await showPartitions(system)
      await run('mkfs.ext4', ['-q', '-L', 'precious', system.partition(1)])
      await run('mkswap', [system.partition(2)])
      await run('mkfs.ext4', ['-q', '-L', 'whole', data.device])
      const file = await site.layout(TWO_DISKS)
      const disks = ['--disk', system.device, '--disk', data.device]
      const { stdout, exitCode } = await site.deploy(...disks, '--layout', file, '--dry-run')
      assert.equal(exitCode, 0)
      const uuid = '\\([-0-9a-f]{36}\\)'
      for (const line of [
        `DESTROY everything on ${system.device}:`,
        `  partition 1 "old root", 64\\.0 MiB: ext4 "precious" ${uuid}`,
        `  partition 2, 32\\.0 MiB: swap ${uuid}`,
        '  partition 3, 16\\.0 MiB: nothing that is known',
        `DESTROY everything on ${data.device}:`,
        `  the whole device: ext4 "whole" ${uuid}`,
        `Create on ${system.device} \\(300\\.0 MiB, GPT\\):`,
        '  partition 1, 100\\.0 MiB: ext4 "root" for /',
        '  partition 2, 198\\.0 MiB: swap',
        `Create on ${data.device} \\(200\\.0 MiB, no partition table\\):`,
        '  the whole disk: ext4 "srv" for /srv',
      ]) {
        assert.match(stdout, new RegExp(`^${line}$`, 'm'))
      }
      const { stdout: label } = await run('e2label', [system.partition(1)])
      assert.equal(label, 'precious\n')
    })
  },
)

test('si deploy wants each disk confirmed, and then erases them all', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await prepare(scope)
    const system = await createLoopDisk(scope, { name: 'system', sizeBytes: 300 * MIB })
    const data = await createLoopDisk(scope, { name: 'data', sizeBytes: 200 * MIB })
    const file = await site.layout(TWO_DISKS)
    const disks = ['--disk', system.device, '--disk', data.device, '--layout', file]
    const half = await site.deploy(...disks, '--confirm', system.device)
    assert.equal(half.exitCode, 2)
    const both = `--confirm ${system.device} --confirm ${data.device}`
    assert.match(half.stderr, new RegExp(`not confirmed\nhint: Add ${both} to erase them\n$`))
    const other = await site.deploy(...disks, '--confirm', '/dev/sdz')
    assert.match(other.stderr, /^error: --confirm names \/dev\/sdz, but --disk names /m)
    assert.equal((await run('wipefs', [system.device, data.device])).stdout, '')
    const whole = await site.deploy(...disks, ...both.split(' '))
    assert.equal(whole.exitCode, 0, whole.stderr)
    await mountDevice(scope, { device: data.device, at: join(scope.directory, 'srv') })
    await run('cmp', [join(scope.directory, 'srv/file'), join(scope.directory, 'golden/srv/file')])
  })
})

test('si deploy takes the layout that si lsimage --layout prints', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await prepare(scope)
    const disk = await createLoopDisk(scope, { name: 'disk', sizeBytes: 300 * MIB })
    const printed = await si('lsimage', 'sample', '--layout', '--repository', site.repository)
    assert.match(printed.stdout, /^# Disks of sample 1, for si-deploy --layout FILE\.$/m)
    const file = await site.layout(printed.stdout)
    const plain = await site.deploy('--disk', disk.device, '--dry-run')
    const written = await site.deploy('--disk', disk.device, '--layout', file, '--dry-run')
    assert.equal(written.stdout, plain.stdout.replace(' (was 400.0 MiB)', ''))
    assert.match(written.stdout, /partition 1 "system", 298\.0 MiB: ext4 "root" for \//)
  })
})

test('si deploy --disk auto means the first disk of the machine', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await prepare(scope)
    const [first] = await listDisks()
    const { stdout, stderr } = await site.deploy('--disk', 'auto', '--dry-run')
    // Where that is the one of the running system, it is refused by its name.
    assert.match(stdout + stderr, first === undefined ? /no disk/ : new RegExp(`${first.path}\\b`))
  })
})

const mistakes: readonly [what: string, text: string, message: RegExp][] = [
  [
    'YAML that is none',
    'disks:\n  - name: a\n    partitions: [\n',
    /^error: Cannot use \S*layout\.yaml: line [34]/m,
  ],
  [
    'an unknown key',
    TWO_DISKS.replace('label: srv', 'lebel: srv'),
    /^error: Cannot use \S*layout\.yaml: line 9: unknown key "lebel": did you mean "label"/m,
  ],
  [
    'a size that is none',
    TWO_DISKS.replace('100MiB', 'much'),
    /line 4: .*must be a size such as 20GiB, a percentage such as 50%, or rest/,
  ],
]
for (const [what, text, message] of mistakes) {
  test(`si deploy --layout names the line of ${what}`, { skip }, async () => {
    await withScope(async (scope) => {
      const site = await prepare(scope)
      const file = await site.layout(text)
      const { stderr, exitCode } = await site.deploy('--layout', file, '--dry-run')
      assert.match(stderr, message)
      assert.equal(exitCode, 2)
    })
  })
}

test('si deploy refuses disks that are busy, too small, or fit no rule', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await prepare(scope)
    const busy = await createLoopDisk(scope, { name: 'busy', sizeBytes: 100 * MIB })
    const small = await createLoopDisk(scope, { name: 'small', sizeBytes: 16 * MIB })
    const swap = await createLoopDisk(scope, { name: 'swap', sizeBytes: 100 * MIB })
    await run('mkswap', [swap.device])
    scope.defer('swap', () => run('swapoff', [swap.device], { okExitCodes: [0, 255] }))
    await run('swapon', [swap.device])
    await run('mkfs.ext4', ['-q', busy.device])
    const at = join(scope.directory, 'in-use')
    await mountDevice(scope, { device: busy.device, at })
    const refused = async (args: readonly string[], message: RegExp) => {
      const { stderr, exitCode } = await site.deploy(...args, '--dry-run')
      assert.match(stderr, message)
      assert.equal(exitCode, 14)
    }
    await refused(
      ['--disk', busy.device],
      new RegExp(
        `to ${busy.device}: it is mounted on ${at}\nhint: Choose another disk, or unmount`,
      ),
    )
    await refused(
      ['--disk', swap.device],
      new RegExp(
        `to ${swap.device}: it is used as swap \\(${swap.device}\\)\nhint: Choose another`,
      ),
    )
    await refused(
      ['--disk', small.device],
      new RegExp(
        `to ${small.device}: disk holds 16\\.0 MiB, image needs .*\nhint: Choose a larger`,
      ),
    )
    const rule = TWO_DISKS.replace('name: system', 'name: system\n    match: { min-size: 900TiB }')
    await refused(
      ['--layout', await site.layout(rule)],
      /Cannot choose disks: no disk fits the rule of disk "system" \(at least 900\.0 TiB\); .*\nhint: Correct the rule/,
    )
  })
})
