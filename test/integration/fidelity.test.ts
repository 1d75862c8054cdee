// Round trips: a golden tree with everything rare that a file system holds is captured with real find and
// tar, deployed through a real swarm to another file system, and compared object by object.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { capture, type CaptureReport, type CaptureSource } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import { deploy, type DeployOptions, type DeployReport } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
} from '../../src/repository/repository.ts'
import { createLoopDisk, mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { startSshGolden } from './capture-sshd.ts'
import { deployOptions, seedSample } from './deploy-sample.ts'
import { describeTree, writeRareContent } from './fidelity-content.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const MIB = 2 ** 20

/** A new file system on a loop device, mounted. */
async function makeFileSystem(
  scope: Scope,
  name: string,
  mkfs: readonly [string, ...string[]],
  sizeBytes = 512 * MIB,
): Promise<string> {
  const disk = await createLoopDisk(scope, { name, sizeBytes })
  const [program, ...args] = mkfs
  await run(program, [...args, disk.device])
  const at = join(scope.directory, name)
  await mountDevice(scope, { device: disk.device, at })
  return at
}

function captureTree(
  scope: Scope,
  directory: string,
  excludes: readonly string[] = [],
): Promise<CaptureReport> {
  return captureFrom(scope, { type: 'root', directory }, excludes)
}

async function captureFrom(
  scope: Scope,
  source: CaptureSource,
  excludes: readonly string[] = [],
): Promise<CaptureReport> {
  const options = {
    source,
    repository: await openRepository(join(scope.directory, 'repository')),
    ...{ name: parseImageName('rare'), version: parseImageVersion(String(versions++)) },
    ...{ excludes, useDefaultExcludes: true, zstdLevel: 1, threads: 1 },
    pieceLengthBytes: 256 * 1024,
  }
  return capture(options, silentProgress, scope.signal)
}
let versions = 1

async function deployTree(
  scope: Scope,
  report: CaptureReport,
  directory: string,
  changes: Partial<DeployOptions> = {},
): Promise<DeployReport> {
  const { directory: from, torrentPath } = report.image
  const metainfo = parseMetainfo(await readFile(torrentPath))
  const image = { directory: from, torrentPath, metainfo, header: report.header }
  const seeder = await seedSample(image)
  scope.defer('seeder', () => seeder.close())
  const target = { type: 'root', directory } as const
  const options = deployOptions(image, target, { peers: [seeder.address], ...changes })
  const io = { progress: silentProgress, confirm: () => Promise.resolve() }
  return deploy(options, io, scope.signal)
}

const hexOf = (path: string) => Buffer.from(`./${path}`).toString('hex')

/** Descriptions without the objects at these paths. */
function without(lines: readonly string[], ...paths: readonly string[]): string[] {
  return lines.filter((line) => !paths.some((path) => line.includes(`"${hexOf(path)}"`)))
}

function assertSame(found: readonly string[], wanted: readonly string[]): void {
  for (const [index, line] of wanted.entries()) {
    if (found[index] === line) continue
    const shown = Buffer.from(/"path": "([0-9a-f]*)"/.exec(line)?.[1] ?? '', 'hex').toString()
    assert.equal(found[index], line, shown.slice(0, 200))
  }
  assert.equal(found.length, wanted.length)
}

const SOCKET_NOTE = '1 socket is left out, which belongs to a running program: /socket'
const EXT4: [string, ...string[]] = ['mkfs.ext4', '-q', '-I', '256', '-m', '0']

describe('a round trip through find, tar, swarm and kernel', { skip }, () => {
  for (const [type, mkfs] of [
    ['ext4', EXT4],
    ['xfs', ['mkfs.xfs', '-q', '-f']],
    ['btrfs', ['mkfs.btrfs', '-q', '-f']],
  ] as [string, [string, ...string[]]][]) {
    test(`everything that ext4 holds arrives on ${type}`, async () => {
      await withScope(async (scope) => {
        const golden = join(await makeFileSystem(scope, 'golden', EXT4), 'tree')
        await mkdir(golden)
        await writeRareContent(scope, golden)
        const wanted = without(await describeTree(golden), 'socket')
        const report = await captureTree(scope, golden, ['skip'])
        assert.deepEqual(report.notes, [SOCKET_NOTE])
        assert.equal(report.exitedPartial, false)
        const target = await makeFileSystem(scope, type, mkfs)
        const deployed = await deployTree(scope, report, target)
        assert.deepEqual(deployed.notes, [])
        const isSkipped = (line: string) => /2f736b6970(?:2f|")/.test(line)
        assertSame(
          await describeTree(target),
          wanted.filter((line) => !isSkipped(line)),
        )
      })
    })
  }

  test('everything arrives over ssh, too', async () => {
    await withScope(async (scope) => {
      const tree = await makeFileSystem(scope, 'tree', EXT4) // where the golden client lives
      const golden = await startSshGolden(scope)
      assert.equal(golden.tree, tree)
      await mkdir(join(tree, 'rare'))
      await writeRareContent(scope, join(tree, 'rare'))
      const wanted = without(await describeTree(join(tree, 'rare')), 'socket')
      const source = {
        ...({ type: 'ssh', host: 'root@127.0.0.1', port: golden.port } as const),
        ...{ sshOptions: golden.sshOptions, identityFile: golden.identityFile },
      }
      const report = await captureFrom(scope, source)
      const target = await makeFileSystem(scope, 'target', EXT4)
      assert.deepEqual((await deployTree(scope, report, target)).notes, [])
      assertSame(await describeTree(join(target, 'rare')), wanted)
    })
  })

  test('deploy() says what a file system with small inodes cannot keep', async () => {
    await withScope(async (scope) => {
      const golden = await makeFileSystem(scope, 'golden', EXT4)
      await run('sh', [
        '-euc',
        'cd "$1"; touch -d @1.5 a; touch -d 2100-01-01 b; touch -d @7 c',
        'sh',
        golden,
      ])
      const report = await captureTree(scope, golden)
      const target = await makeFileSystem(scope, 'small', ['mkfs.ext4', '-q', '-I', '128'])
      const { notes } = await deployTree(scope, report, target)
      assert.match(notes.join('\n'), /cannot keep times of modification.*\(1 file\)/)
      assert.match(notes.join('\n'), /cannot keep fractions of seconds in times/)
    })
  })

  test('deploy() says that attributes of xfs are too large for ext4', async () => {
    await withScope(async (scope) => {
      const golden = await makeFileSystem(scope, 'golden', ['mkfs.xfs', '-q', '-f'])
      const script = 'cd "$1"; touch f; setfattr -n user.x -v "$(printf %030000d 7)" f'
      await run('sh', ['-euc', script, 'sh', golden])
      const report = await captureTree(scope, golden)
      const target = await makeFileSystem(scope, 'target', EXT4)
      const { notes } = await deployTree(scope, report, target)
      assert.deepEqual(notes, [
        "the target's file system cannot keep attributes as large as some are (1 file)",
      ])
    })
  })

  test('deploy() says which objects a file system cannot hold, links to them included', async () => {
    await withScope(async (scope) => {
      const golden = await makeFileSystem(scope, 'golden', EXT4)
      await run('sh', ['-euc', 'cd "$1"; mknod c c 4095 1048575; ln c d; touch f', 'sh', golden])
      const report = await captureTree(scope, golden)
      const target = await makeFileSystem(scope, 'xfs', ['mkfs.xfs', '-q', '-f'])
      const { notes } = await deployTree(scope, report, target)
      assert.deepEqual(await readdir(target), ['f'])
      assert.deepEqual(notes, [
        "the target's file system cannot keep hard links (1 file)",
        "the target's file system cannot keep device nodes or fifos (1 file)",
      ])
    })
  })

  test('deploy() with withoutDevices leaves out nodes and links to them, and keeps setuid', async () => {
    await withScope(async (scope) => {
      const golden = await makeFileSystem(scope, 'golden', EXT4)
      const script = 'cd "$1"; mknod c c 1 3; ln c c2; mkfifo p; cp /bin/true s; chmod 4755 s'
      await run('sh', ['-euc', script, 'sh', golden])
      const report = await captureTree(scope, golden)
      const target = join(scope.directory, 'target')
      await mkdir(target)
      const { notes } = await deployTree(scope, report, target, { withoutDevices: true })
      assert.deepEqual(await readdir(target), ['p', 's'])
      assert.equal((await stat(join(target, 's'))).mode & 0o7777, 0o4755)
      assert.deepEqual(notes, ['2 device nodes are left out, as --no-devices says'])
    })
  })
})
