// The second capture of a tree: what has not changed comes from the image before, and the new image is the one
// that a full capture makes, to the last byte. Needs root.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, cp, link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { symlink, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { capture, type CaptureReport } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type Repository,
} from '../../src/repository/repository.ts'
import { writeNastyContent } from '../lab/golden-content.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
/** Files younger than this are read again, see SETTLED_NS. */
const SETTLED_MS = 3100

interface Site {
  readonly tree: string
  readonly repository: Repository
  /** Captures; tells how many bytes tar sent. */
  capture(version: string, previous?: null): Promise<{ report: CaptureReport; sentBytes: number }>
}

/** A tar that counts what the real one writes stands before it in PATH. */
async function makeSite(scope: Scope): Promise<Site> {
  const { directory } = scope
  const tree = join(directory, 'tree')
  await writeNastyContent(scope, tree)
  await mkdir(join(tree, 'data', 'a'), { recursive: true })
  for (const name of ['a/one', 'a/two', 'three', 'four', 'five']) {
    await writeFile(join(tree, 'data', name), randomBytes(MIB))
  }
  for (let i = 0; i < 200; i++) await writeFile(join(tree, 'data', `small-${i}`), `number ${i}`)
  await mkdir(join(tree, 'other'))
  await writeFile(join(tree, 'other', 'one'), randomBytes(MIB))
  const [count, programs] = [join(directory, 'sent'), join(directory, 'programs')]
  await mkdir(programs)
  const script = `#!/bin/bash\n/usr/bin/tar "$@" | tee >(wc -c >${count})\nexit "\${PIPESTATUS[0]}"\n`
  await writeFile(join(programs, 'tar'), script, { mode: 0o755 })
  const path = process.env['PATH'] ?? ''
  process.env['PATH'] = `${programs}:${path}`
  scope.defer('PATH', () => Promise.resolve(void (process.env['PATH'] = path)))
  const repository = await openRepository(join(directory, 'repository'))
  return {
    ...{ tree, repository },
    async capture(version, previous) {
      await rm(count, { force: true })
      const report = await capture(
        {
          source: { type: 'root', directory: tree },
          ...{ repository, name: parseImageName('tree') },
          version: parseImageVersion(version),
          ...{ excludes: [], useDefaultExcludes: true },
          ...{ zstdLevel: 1, threads: 1, pieceLengthBytes: MIB },
          ...(previous === undefined ? {} : { previous }),
        },
        silentProgress,
        scope.signal,
      )
      const isCounted = async () => (await readFile(count, 'utf8').catch(() => '')).endsWith('\n')
      await waitFor('the count of bytes', isCounted, { deadlineMs: 10_000 })
      return { report, sentBytes: Number(await readFile(count, 'utf8')) }
    },
  }
}

async function untilSettled(): Promise<void> {
  const startMs = Date.now()
  await waitFor('time to pass', () => Date.now() - startMs > SETTLED_MS, { deadlineMs: 10_000 })
}

async function assertSamePack(a: CaptureReport, b: CaptureReport): Promise<void> {
  await run('cmp', [a.image.packPath, b.image.packPath])
}

test('a second capture of an unchanged tree reads no file again', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await makeSite(scope)
    await untilSettled()
    const first = await site.capture('1')
    assert.equal(first.report.takenOver, null)
    const second = await site.capture('2')
    assert.deepEqual(second.report.takenOver?.image, { name: 'tree', version: '1' })
    await assertSamePack(first.report, second.report)
    assert.ok(second.sentBytes < 256 * 1024, `${second.sentBytes} of ${first.sentBytes} bytes`)
    const third = await site.capture('3')
    assert.equal(third.report.takenOver?.image.version, '2')
    await assertSamePack(first.report, third.report)
  })
})

test('a change of whatever kind is captured as by a full capture', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await makeSite(scope)
    const at = (path: string) => join(site.tree, path)
    await untilSettled()
    await site.capture('1')
    // The same size and time, as a careless comparison would not notice.
    const { atime, mtime } = await stat(at('data/three'))
    await writeFile(at('data/three'), randomBytes(MIB))
    await utimes(at('data/three'), atime, mtime)
    await chmod(at('data/four'), 0o640)
    await link(at('data/five'), at('data/five, again'))
    await link(at('links/a/one'), at('links/0'))
    await truncate(at('sparse'), 32 * MIB)
    await unlink(at('data/small-7'))
    await writeFile(at('data/small-8'), 'number 9')
    await writeFile(at('data/new'), 'new')
    await symlink('new', at('data/link'))
    // Another directory takes the place of one: its files have other inodes.
    await rename(at('data/a'), at('data/b'))
    await rename(at('other'), at('data/a'))
    await run('setfattr', ['-n', 'user.text', '-v', 'other words', at('attributes')])
    await cp(at('data/small-10'), at('data/small-11'))
    await using file = await open(at('acl'), 'a')
    await file.write('more')
    const second = await site.capture('2')
    const full = await site.capture('3', null)
    assert.equal(full.report.takenOver, null)
    assert.ok((second.report.takenOver?.files ?? 0) > 150)
    await assertSamePack(second.report, full.report)
    assert.ok(second.sentBytes < full.sentBytes)
    await untilSettled()
    const next = await site.capture('4')
    await assertSamePack(next.report, full.report)
  })
})

test('a file that was written while the last capture looked is read again', { skip }, async () => {
  await withScope(async (scope) => {
    const site = await makeSite(scope)
    await site.capture('1')
    const second = await site.capture('2')
    assert.equal(second.report.takenOver, null, 'nothing had settled')
  })
})

test(
  'capture() reads everything where the last version is damaged or remembers nothing',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const site = await makeSite(scope)
      await untilSettled()
      const first = await site.capture('1')
      const { packPath } = first.report.image
      await using pack = await open(packPath, 'r+')
      const { size } = await pack.stat()
      for (let position = 0; position < size; position += 64 * 1024) {
        await pack.write(Buffer.from('damage'), 0, 6, position + 100)
      }
      await assert.rejects(site.capture('2'), {
        code: 'ERR_SI_CAPTURE',
        message:
          /^Cannot take over unchanged files from the last version: Cannot read chunk \d+ of /,
        hint: 'Add --no-previous to read everything again',
      })
      assert.equal((await site.capture('2', null)).report.takenOver, null)
      const stateOf = (version: string) =>
        join(site.repository.directory, 'images', 'tree', version, 'capture-state.jsonl.zst')
      await truncate(stateOf('2'), 100)
      assert.equal((await site.capture('3')).report.takenOver, null)
      await rm(stateOf('3'))
      assert.equal((await site.capture('4')).report.takenOver, null)
    })
  },
)
