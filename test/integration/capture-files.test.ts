// What a capture takes and what it says about the rest: rules, dry run, flags, mounts, paths.
import assert from 'node:assert/strict'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { capture, previewCapture, type CaptureReport } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
} from '../../src/repository/repository.ts'
import { createLoopDisk, mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')

interface Wish {
  readonly directory: string
  readonly version?: string
  readonly excludes?: readonly string[]
  readonly useDefaultExcludes?: boolean
  readonly mountPoints?: readonly string[]
}

async function selectionOf(scope: Scope, wish: Wish) {
  return {
    source: { type: 'root', directory: wish.directory } as const,
    repository: await openRepository(join(scope.directory, 'repository')),
    name: parseImageName('tree'),
    excludes: wish.excludes ?? [],
    useDefaultExcludes: wish.useDefaultExcludes ?? true,
    mountPoints: wish.mountPoints ?? [],
  }
}

async function captureFiles(scope: Scope, wish: Wish): Promise<CaptureReport> {
  const version = parseImageVersion(wish.version ?? '1')
  const options = { ...(await selectionOf(scope, wish)), version, zstdLevel: 1, threads: 1 }
  return capture(options, silentProgress, scope.signal)
}

async function listTar(report: CaptureReport): Promise<string[]> {
  const script = `zstd -dc '${report.image.packPath}' | tar -t`
  return (await run('sh', ['-c', script])).stdout.split('\n').filter(Boolean)
}

async function makeTree(scope: Scope): Promise<string> {
  const tree = join(scope.directory, 'tree')
  for (const folder of ['tmp', 'srv/a', 'etc']) await mkdir(join(tree, folder), { recursive: true })
  for (const name of ['tmp/keep', 'tmp/x', 'srv/a/1.iso', 'srv/a/2', 'etc/motd']) {
    await writeFile(join(tree, name), 'x'.repeat(1000))
  }
  return tree
}

describe('what a capture takes', { skip }, () => {
  test('previewCapture() tells what each rule keeps out, and writes nothing', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      const excludes = ['+ /tmp/keep', '*.iso']
      const options = await selectionOf(scope, { directory, excludes })
      const preview = await previewCapture(options, silentProgress, scope.signal)
      assert.deepEqual(preview.captured, { files: 8, bytes: 3000 })
      assert.deepEqual(preview.excluded, [
        { rule: '- *.iso', files: 1, bytes: 1000 },
        { rule: '- /tmp/*', files: 1, bytes: 1000 },
      ])
      await assert.rejects(stat(options.repository.directory), { code: 'ENOENT' })
    })
  })

  test('capture() keeps the rules with the image and uses them for the next version', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      const excludes = ['- /srv/a/', '+ /tmp/keep']
      const first = await captureFiles(scope, { directory, excludes })
      assert.deepEqual(first.header.keptRules, { rules: excludes, useDefaults: true })
      const second = await captureFiles(scope, { directory, version: '2' })
      assert.deepEqual(await listTar(second), await listTar(first))
      assert.deepEqual(second.notes, ['The exclude list of the last version is used again'])
      assert.deepEqual(second.header.keptRules, first.header.keptRules)
      const third = await captureFiles(scope, { directory, version: '3', excludes: ['!'] })
      assert.deepEqual(third.notes, [])
      assert.ok((await listTar(third)).includes('./srv/a/1.iso'))
      const fourth = await captureFiles(scope, { directory, version: '4' })
      assert.deepEqual(fourth.header.keptRules, { rules: [], useDefaults: true })
    })
  })

  test('si-getimage takes --exclude, --include and --exclude-from in their order', async () => {
    await withScope(async (scope) => {
      const tree = await makeTree(scope)
      const file = join(scope.directory, 'rules')
      await writeFile(file, '# comment\n; another\n\n+ *.iso\n- /srv/a/*\n')
      const lists = ['--include', '/tmp/keep', '--exclude-from', file, '-x', '/etc/motd']
      const repository = join(scope.directory, 'repository')
      const where = ['--root', tree, '--name', 'tree', '--repository', repository]
      const args = [MAIN, 'getimage', ...where, ...lists, '--dry-run', '--json']
      const { stdout } = await run(process.execPath, args)
      const preview = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
      assert.deepEqual(preview['excluded'], [
        { rule: '- /srv/a/*', files: 1, bytes: 1000 },
        { rule: '- /etc/motd', files: 1, bytes: 1000 },
        { rule: '- /tmp/*', files: 1, bytes: 1000 },
      ])
      const rules = preview['rules'] as string[]
      assert.deepEqual(rules.slice(0, 4), ['+ /tmp/keep', '+ *.iso', '- /srv/a/*', '- /etc/motd'])
      const plain = await run(process.execPath, args.slice(0, -1))
      assert.match(plain.stdout, /^ +7 files +\S+ \S+ {2}captured\n/)
      const missing = [MAIN, 'getimage', ...where, '--exclude-from', `${file}.missing`]
      const failed = await run(process.execPath, missing, { okExitCodes: [2] })
      assert.match(failed.stderr, /Cannot read exclude list .*missing/)
    })
  })

  test('capture() names immutable and append-only files, and sockets', async () => {
    await withScope(async (scope) => {
      const disk = await createLoopDisk(scope, { name: 'golden', sizeBytes: 64 * 2 ** 20 })
      await run('mkfs.ext4', ['-q', disk.device])
      const at = join(scope.directory, 'golden')
      await mountDevice(scope, { device: disk.device, at })
      const directory = join(at, 'tree')
      await mkdir(directory)
      for (const name of ['fixed', 'log', 'plain']) await writeFile(join(directory, name), '')
      const socket = createServer().listen(join(directory, 'socket'))
      await new Promise((resolve) => socket.once('listening', resolve))
      await run('chattr', ['+i', join(directory, 'fixed')])
      await run('chattr', ['+a', join(directory, 'log')])
      const { notes, exitedPartial } = await captureFiles(scope, { directory })
      await run('chattr', ['-ia', join(directory, 'fixed'), join(directory, 'log')])
      socket.close()
      assert.deepEqual(notes, [
        '1 socket is left out, which belongs to a running program: /socket',
        'The immutable flag is not kept, which 1 file had: /fixed',
        'The append-only flag is not kept, which 1 file had: /log',
      ])
      assert.equal(exitedPartial, false)
    })
  })

  test('capture() does not enter what is mounted but not on a disk', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      const at = join(directory, 'srv/memory')
      await mountDevice(scope, { device: 'none', at, type: 'tmpfs' })
      await writeFile(join(at, 'file'), 'x')
      const names = await listTar(await captureFiles(scope, { directory }))
      assert.ok(names.includes('./srv/memory/'))
      assert.ok(!names.includes('./srv/memory/file'))
      const mountPoints = ['/srv/memory/']
      const more = await captureFiles(scope, { directory, version: '2', mountPoints })
      assert.ok((await listTar(more)).includes('./srv/memory/file'))
      const wrong = { directory, version: '3', mountPoints: ['/srv'] }
      await assert.rejects(captureFiles(scope, wrong), /Cannot capture \/srv too/)
    })
  })

  test('capture() of two programs at once lets one write the image', async () => {
    await withScope(async (scope) => {
      const directory = await makeTree(scope)
      const results = await Promise.allSettled(
        ['1', '2'].map((version) => captureFiles(scope, { directory, version })),
      )
      const failed = results.flatMap((result) =>
        result.status === 'rejected' ? [(result.reason as { code?: string }).code] : [],
      )
      assert.deepEqual(failed, ['ERR_SI_IMAGE_LOCKED'])
      const folder = join(scope.directory, 'repository/images/tree')
      const left = (await readdir(folder)).filter((name) => name.startsWith('.draft'))
      assert.deepEqual(left, [])
    })
  })

  test('si-getimage says at once that /proc holds no repository', async () => {
    await withScope(async (scope) => {
      const tree = await makeTree(scope)
      const where = ['--root', tree, '--name', 'tree', '--repository', '/proc/foo']
      const { stderr } = await run(process.execPath, [MAIN, 'getimage', ...where], {
        ...{ okExitCodes: [1], signal: AbortSignal.timeout(20_000) },
      })
      assert.match(stderr, /Cannot mkdir \/proc\/foo/)
    })
  })
})
