// The other levels of RAID, one file system on each, made and filled by one deployment to four disks.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { withScope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from '../integration/deploy-sample.ts'

const LEVELS = [
  { level: '0', mount: '/', members: ['a1', 'b1'] },
  { level: '5', mount: '/srv/five', members: ['a2', 'b2', 'c2'] },
  { level: '6', mount: '/srv/six', members: ['a3', 'b3', 'c3', 'd3'] },
  { level: '10', mount: '/srv/ten', members: ['a4', 'b4', 'c4', 'd4'] },
] as const

const layout = `disks:
${['a', 'b', 'c', 'd'].map(disk).join('')}arrays:
${LEVELS.map(
  ({ level, mount, members }) =>
    `  - { name: level${level}, level: ${level}, members: [${members.join(', ')}], format: ext4, mount: ${mount} }\n`,
).join('')}`

function disk(name: string, index: number): string {
  const partitions = [1, 2, 3, 4].map((number) => `{ number: ${number}, size: 48MiB }`).join(', ')
  return `  - { name: ${name}, match: { serial: empty${index + 1} }, partitions: [${partitions}] }\n`
}

test('deploy() makes and fills RAID 0, 5, 6 and 10', async () => {
  await withScope(async (scope) => {
    const tree = join(scope.directory, 'golden')
    for (const { mount, level } of LEVELS) {
      await mkdir(join(tree, mount), { recursive: true })
      await writeFile(join(tree, mount, 'file'), `on level ${level}\n`.repeat(50_000))
    }
    const image = await makeSampleImage({ tree, directory: join(scope.directory, 'image') })
    const seeder = await seedSample(image)
    scope.defer('seeder', () => seeder.close())
    const target = { type: 'disk', devices: [], layout: { file: 'layout.yaml', text: layout } }
    const options = deployOptions(image, { ...target, type: 'disk' }, { peers: [seeder.address] })
    const io = { progress: silentProgress, confirm: () => Promise.resolve() }
    await deploy(options, io, scope.signal)
    const at = join(scope.directory, 'mounted')
    for (const { level, mount, members } of LEVELS) {
      const device = `/dev/md10${level}`
      const parts = members.map((name) => `/dev/vd${name}`)
      await run('mdadm', ['--assemble', '--run', device, ...parts])
      scope.defer(device, () => run('mdadm', ['--stop', device]))
      assert.match((await run('mdadm', ['--detail', device])).stdout, new RegExp(`raid${level}\\b`))
      await mountDevice(scope, { device, at: join(at, mount), options: ['ro'] })
    }
    assert.deepEqual(await compareTrees(tree, at, { excludes: ['lost+found'] }), [])
  })
})
