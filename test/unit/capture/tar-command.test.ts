// What tar is told and what it says.
import assert from 'node:assert/strict'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { quoteForShell } from '../../../src/capture/probe-script.ts'
import {
  createTarMessageReader,
  formatMember,
  tarScript,
} from '../../../src/capture/tar-command.ts'
import { run } from '../../../src/host/host.ts'

test('tarScript() hands tar to the shell with every argument quoted', () => {
  const script = tarScript({ root: "/it's", mountPoints: ['/', '/srv'], excludes: ['/proc/*'] })
  assert.match(script, /^exec tar '--create' /m)
  assert.ok(script.includes("'--anchored' '--exclude=./proc/*'"))
  assert.ok(script.includes("'--directory' '/it'\\''s' '--' '.' './srv' </dev/null"))
})

test('tarScript() makes equal archives of an unchanged tree that has sparse files', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'si-tar-'))
  t.after(() => rm(root, { recursive: true }))
  const file = await open(join(root, 'sparse'), 'w')
  await file.write('end', 1024 * 1024)
  await file.close()
  const input = `(\n${tarScript({ root, mountPoints: ['/'], excludes: [] })}) | sha256sum\n`
  const first = await run('sh', ['-s'], { input })
  assert.deepEqual(await run('sh', ['-s'], { input }), first)
})

test('quoteForShell() survives the shell, whatever the text holds', async () => {
  const texts = fc.sample(
    fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
    20,
  )
  const input = texts.map((text) => `printf '%s\\0' ${quoteForShell(text)}\n`).join('')
  const { stdout } = await run('sh', ['-s'], { input })
  assert.deepEqual(stdout.split('\0').slice(0, -1), texts)
})

test('createTarMessageReader() collects changed files from any portions of text', () => {
  const text = `Banner: welcome
tar: ./var/log/syslog: file changed as we read it
tar: ./tmp/gone: File removed before we read it
tar: ./db\\303\\244: File shrank by 12 bytes; padding with zeros
tar: POSIX ACL support is not available
tar: ./x: Cannot open: Permission denied
tar: Exiting with failure status due to previous errors
`
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = createTarMessageReader()
    reader.push(text.slice(0, cut))
    reader.push(text.slice(cut))
    assert.deepEqual(reader.end(), {
      changedFiles: ['/var/log/syslog', '/tmp/gone', '/dbä'],
      changedCount: 3,
      ignoredCount: 0,
      notes: ['POSIX ACL support'],
      errors: ['./x: Cannot open: Permission denied'],
    })
  }
})

test('createTarMessageReader() keeps a bounded number of paths and counts all', () => {
  const reader = createTarMessageReader()
  for (let n = 0; n < 10_001; n++) reader.push(`tar: ./${n}: file changed as we read it\n`)
  const { changedFiles, changedCount } = reader.end()
  assert.equal(changedFiles.length, 10_000)
  assert.equal(changedCount, 10_001)
})

test('formatMember() shows bytes that are no UTF-8 and control characters as escapes', () => {
  assert.equal(formatMember('./a\\377b'), '/a\\xffb')
  assert.equal(formatMember('./a\\nb\\\\c'), '/a\\x0ab\\c')
  assert.equal(formatMember('.'), '/')
})

test('createTarMessageReader() lets directories change whose content is excluded', () => {
  const reader = createTarMessageReader(['/run/*', '/etc/machine-id'])
  reader.push('tar: ./run: file changed as we read it\n')
  reader.push('tar: ./etc: file changed as we read it\n')
  const { changedFiles, changedCount, ignoredCount } = reader.end()
  assert.deepEqual(
    { changedFiles, changedCount, ignoredCount },
    {
      changedFiles: ['/etc'],
      changedCount: 1,
      ignoredCount: 1,
    },
  )
})
