// Folders with their parents.
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { makeFolder } from '../../../src/host/host.ts'

test('makeFolder() makes what is missing, and nothing twice', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'si-folder-'))
  t.after(() => rm(root, { recursive: true }))
  const deep = join(root, 'a/b/c')
  await Promise.all([makeFolder(deep), makeFolder(deep), makeFolder(join(root, 'a/b/d'))])
  assert.ok((await stat(deep)).isDirectory())
  await writeFile(join(root, 'file'), '')
  await assert.rejects(makeFolder(join(root, 'file')), { code: 'EEXIST' })
  await assert.rejects(makeFolder(join(root, 'file/x')), { code: 'ENOTDIR' })
})

test('makeFolder() ends where the kernel makes no folders', async () => {
  await assert.rejects(makeFolder('/proc/si-missing/images/x'), { code: 'ENOENT' })
})
