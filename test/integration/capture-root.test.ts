// Capture of local trees: disks, mounts, excludes, and memory that does not grow with the tree.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { capture, type CaptureReport } from '../../src/capture/capture.ts'
import { silentProgress, type Progress, type ProgressUpdate } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
} from '../../src/repository/repository.ts'
import { createLoopDisk, mountDevice, showPartitions } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const MIB = 2 ** 20

interface Wish {
  readonly directory: string
  readonly repository: string
  readonly version?: string
  readonly excludes?: readonly string[]
  readonly useDefaultExcludes?: boolean
  readonly pieceLengthBytes?: number
  readonly progress?: Progress
}

function captureRoot(wish: Wish): Promise<CaptureReport> {
  return openRepository(wish.repository).then((repository) =>
    capture(
      {
        source: { type: 'root', directory: wish.directory },
        ...{ repository, name: parseImageName('tree') },
        version: parseImageVersion(wish.version ?? '1'),
        excludes: wish.excludes ?? [],
        useDefaultExcludes: wish.useDefaultExcludes ?? true,
        ...(wish.pieceLengthBytes && { pieceLengthBytes: wish.pieceLengthBytes }),
        ...{ zstdLevel: 1, threads: 1 },
      },
      wish.progress ?? silentProgress,
      new AbortController().signal,
    ),
  )
}

async function listTar(report: CaptureReport): Promise<string[]> {
  const script = `zstd -dc '${report.image.packPath}' | tar -t`
  return (await run('sh', ['-c', script])).stdout.split('\n').filter(Boolean)
}

async function makeTree(scope: Scope): Promise<string> {
  const tree = await mkdtemp(join(scope.directory, 'tree-'))
  for (const folder of ['etc/ssh', 'proc', 'tmp', 'var/cache/deep', 'lib/modules/6.1.0-9']) {
    await mkdir(join(tree, folder), { recursive: true })
  }
  for (const [path, text] of Object.entries({
    'etc/hostname': 'goldie\n',
    'etc/machine-id': 'x\n',
    'etc/ssh/ssh_host_rsa_key': 'secret',
    'etc/ssh/sshd_config': 'x',
    'tmp/file': 'x',
    'var/cache/deep/file': 'x',
  })) {
    await writeFile(join(tree, path), text)
  }
  return tree
}

describe('capture of a local tree', { skip }, () => {
  test('capture() leaves out the defaults, the wishes of the user and the repository', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      const repository = join(directory, 'var/lib/si')
      const report = await captureRoot({ directory, repository, excludes: ['/var/cache/*'] })
      const names = await listTar(report)
      for (const name of ['./etc/ssh/sshd_config', './tmp/', './proc/', './var/cache/']) {
        assert.ok(names.includes(name), name)
      }
      for (const name of ['etc/machine-id', 'etc/ssh/ssh_host', 'tmp/f', 'var/cache/d', 'si/i']) {
        assert.ok(!names.some((found) => found.includes(name)), name)
      }
      assert.equal(report.header.source.host, 'goldie')
      assert.equal(report.header.source.kernel, '6.1.0-9')
      assert.equal(report.header.layout, null)
      assert.deepEqual(report.header.boot, { method: 'none' })
      const all = { directory, repository, version: '2', useDefaultExcludes: false }
      const everything = await listTar(await captureRoot(all))
      assert.ok(everything.includes('./etc/machine-id'))
      assert.ok(!everything.some((name) => name.includes('var/lib/si/images')))
    })
  })

  test('capture() describes the disk below the tree and captures each file system once', async () => {
    await withScope(async (scope) => {
      const disk = await createLoopDisk(scope, { name: 'golden', sizeBytes: 64 * MIB })
      const table =
        'label: gpt\nsize=8MiB, type=swap\nsize=24MiB, type=linux, name=root\ntype=linux\n'
      await run('sfdisk', ['--quiet', disk.device], { input: table })
      await showPartitions(disk)
      await run('mkswap', [disk.partition(1)])
      await run('mkfs.ext4', ['-q', '-L', 'root', disk.partition(2)])
      await run('mkfs.ext4', ['-q', disk.partition(3)])
      const directory = join(scope.directory, 'golden')
      await mountDevice(scope, { device: disk.partition(2), at: directory })
      await mountDevice(scope, { device: disk.partition(3), at: join(directory, 'srv') })
      await writeFile(join(directory, 'srv/file'), 'x')
      await mkdir(join(directory, 'etc'))
      await writeFile(join(directory, 'etc/fstab'), 'LABEL=root / ext4 noatime 0 1\n')
      const again = { device: join(directory, 'srv'), at: join(directory, 'export') }
      await mountDevice(scope, { ...again, options: ['bind'] })
      const report = await captureRoot({ directory, repository: join(scope.directory, 'images') })
      const names = await listTar(report)
      assert.deepEqual(
        names.filter((name) => /srv|export|lost/.test(name)),
        ['./export/', './srv/', './srv/file'],
      )
      const [found] = report.header.layout?.disks ?? []
      assert.equal(found?.name, disk.device.slice('/dev/'.length))
      assert.equal(found?.sizeBytes, 64 * MIB)
      assert.deepEqual(
        found?.partitions.map(({ number, name, sizeBytes, fileSystem }) => [
          ...[number, name, sizeBytes, fileSystem?.type, fileSystem?.label],
          ...[fileSystem?.mountPoint, fileSystem?.mountOptions],
        ]),
        [
          [1, '', 8 * MIB, 'swap', '', null, ''],
          [2, 'root', 24 * MIB, 'ext4', 'root', '/', 'noatime'],
          [3, '', found?.partitions[2]?.sizeBytes, 'ext4', '', '/srv', 'defaults'],
        ],
      )
      assert.ok((found?.partitions[1]?.fileSystem?.usedBytes ?? 0) > 0)
      assert.deepEqual(report.header.boot, { method: 'bios' })
    })
  })

  test('capture() gives a new version the piece length of the last one', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      const repository = join(scope.directory, 'images')
      const first = await captureRoot({ directory, repository, pieceLengthBytes: 4 * MIB })
      const second = await captureRoot({ directory, repository, version: '2' })
      assert.equal(first.header.pieceLengthBytes, 4 * MIB)
      assert.deepEqual(second.header.chunking, first.header.chunking)
      const other = await captureRoot({ directory, repository: join(scope.directory, 'other') })
      assert.equal(other.header.pieceLengthBytes, MIB)
    })
  })

  test('capture() reports progress towards what it listed, and never beyond', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      for (let n = 0; n < 8; n++) {
        await writeFile(join(directory, `big-${n}`), Buffer.alloc(4 * MIB, `${n}`))
      }
      const updates: ProgressUpdate[] = []
      const progress = { update: (update: ProgressUpdate) => updates.push(update), note() {} }
      const repository = join(scope.directory, 'images')
      const report = await captureRoot({ directory, repository, progress })
      assert.equal(updates[0]?.phase, 'probing')
      const capturing = updates.filter(({ phase }) => phase === 'capturing')
      assert.equal(capturing.at(-1)?.doneBytes, report.header.tarBytes)
      for (const { doneBytes, totalBytes } of capturing) {
        assert.ok(totalBytes !== undefined && doneBytes <= totalBytes)
      }
    })
  })

  test('capture() refuses a tree that is not there, and one that is a file', async () => {
    await withScope(async (scope) => {
      const repository = join(scope.directory, 'images')
      const code = 'ERR_SI_GOLDEN_CLIENT'
      const missing = join(scope.directory, 'missing')
      await assert.rejects(captureRoot({ directory: missing, repository }), {
        code,
        message: /ENOENT/,
      })
      await writeFile(missing, '')
      const message = /no directory/
      await assert.rejects(captureRoot({ directory: missing, repository }), { code, message })
      await assert.rejects(readFile(join(repository, 'images')), { code: 'ENOENT' })
    })
  })

  test('capture() names the image and the repository when their file system is full', async () => {
    await withScope(async (scope) => {
      const directory = join(scope.directory, 'tree')
      await mkdir(directory)
      await writeFile(join(directory, 'random'), randomBytes(2 * MIB))
      const disk = await createLoopDisk(scope, { name: 'small', sizeBytes: MIB })
      await run('mkfs.ext4', ['-q', disk.device])
      const repository = join(scope.directory, 'small')
      await mountDevice(scope, { device: disk.device, at: repository })
      await assert.rejects(captureRoot({ directory, repository }), {
        code: 'ERR_SI_CAPTURE',
        message: `Cannot write image "tree" to ${repository}: the file system is full`,
      })
      const left = await readdir(join(repository, 'images/tree'))
      assert.deepEqual(left, ['.lock'])
    })
  })
})
