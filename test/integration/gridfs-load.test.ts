// A grid file system under programs that check what they read: fio with checksums, the file system stressors
// of stress-ng, eight clients of dbench. `npm run bench -- gridfs-load` runs the same for longer.
import { mkdir, readdir } from 'node:fs/promises'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { officeLoad, stress, verifyAcross } from '../lab/file-system-load.ts'
import { createGridSite } from '../lab/grid-site.ts'
import { withScope } from '../lab/scope.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root'
const GRACE_MS = 120_000

describe('a grid file system under load', { skip }, () => {
  test('gives fio by one mount what it has written by another', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folders = { writing: await site.mount('writing'), reading: await site.mount('reading') }
      await verifyAcross(folders, 64 * 2 ** 20, { signal: scope.signal, graceMs: GRACE_MS })
    })
  })

  test('does what stress-ng expects of a file system, and keeps nothing', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folder = join(await site.mount('mounted'), 'stressed')
      await mkdir(folder)
      await stress(folder, 3, { signal: scope.signal, graceMs: GRACE_MS })
      assert.deepEqual(await readdir(folder), [])
    })
  })

  test('serves eight clients of dbench', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folder = await site.mount('mounted')
      const options = { signal: scope.signal, graceMs: GRACE_MS, clients: 8 }
      await officeLoad(folder, 5, options)
    })
  })
})
