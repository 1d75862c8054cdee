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

const NONE = { deep: [], deepExcluded: [] }

test('tarScript() hands tar to the shell with every argument quoted', () => {
  const script = tarScript({ root: "/it's", selection: NONE })
  assert.match(script, /^exec tar '--create' /m)
  assert.ok(script.endsWith("'--directory' '/it'\\''s' '--files-from=-'\n"))
})

test('tarScript() has tar walk into paths too long for a list, whatever bytes they hold', () => {
  const selection = { deep: [Buffer.from('./a\n')], deepExcluded: [Buffer.of(0x2e, 0x2f, 0xff)] }
  const script = tarScript({ root: '/', selection })
  assert.ok(script.includes("w0=$(printf '\\056\\057\\377.') w0=${w0%.}\nw1=$(printf"))
  assert.ok(script.endsWith(' --recursion --anchored --no-wildcards "--exclude=$w0" "$w1"\n'))
})

test('tarScript() makes equal archives of an unchanged tree that has sparse files', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'si-tar-'))
  t.after(() => rm(root, { recursive: true }))
  const file = await open(join(root, 'sparse'), 'w')
  await file.write('end', 1024 * 1024)
  await file.close()
  const input = `(\n${tarScript({ root, selection: NONE })}) <<'END' | sha256sum\n.\0./sparse\0END\n`
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
tar: ./x: Warning: Cannot open: Permission denied
tar: ./left: Warning: Cannot stat: No such file or directory
tar: ./bad: Warning: Read error at byte 0, while reading 512 bytes: Input/output error
tar: Exiting with failure status due to previous errors
`
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = createTarMessageReader()
    reader.push(text.slice(0, cut))
    reader.push(text.slice(cut))
    assert.deepEqual(reader.end(), {
      changedFiles: ['/var/log/syslog', '/tmp/gone', '/dbä', '/left'],
      changedCount: 4,
      indifferentCount: 0,
      unread: ['Not captured, because it cannot be read: /x: Cannot open: Permission denied'],
      notes: ['POSIX ACL support'],
      errors: ['./bad: Warning: Read error at byte 0, while reading 512 bytes: Input/output error'],
      hasReadError: true,
    })
  }
})

test('createTarMessageReader() does not mind that the directory below a mounted file system changes', () => {
  const reader = createTarMessageReader(new Set(['/sys']))
  reader.push('tar: ./sys: file changed as we read it\ntar: ./sys2: file changed as we read it\n')
  const { changedFiles, changedCount, indifferentCount } = reader.end()
  assert.deepEqual(
    { changedFiles, changedCount, indifferentCount },
    { changedFiles: ['/sys2'], changedCount: 1, indifferentCount: 1 },
  )
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
