import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openDirectoryTarget } from '../../../src/deploy/directory-target.ts'
import { EntryTableBuilder } from '../../../src/deploy/entry-table-builder.ts'
import type { ImageFacts } from '../../../src/deploy/target.ts'
import { parseInfoHash } from '../../../src/torrent/torrent.ts'

const directory = mkdtempSync(join(tmpdir(), 'si-target-'))
after(() => rmSync(directory, { recursive: true }))

test('prepare() refuses a directory that was filled since it was looked at', async () => {
  const image: ImageFacts = {
    header: {
      name: 'sample',
      version: '1',
      contentBytes: 0,
      entryCount: 0,
    } as ImageFacts['header'],
    ...{ table: new EntryTableBuilder().build(), infoHash: parseInfoHash('ab'.repeat(20)) },
    ...{ pieceCount: 1, spillBytes: 0 },
  }
  const target = await openDirectoryTarget(directory, image)
  writeFileSync(join(directory, 'theirs'), 'kept')
  await assert.rejects(target.prepare(new AbortController().signal), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: /it is not empty$/,
  })
  await target.close()
  assert.deepEqual(readdirSync(directory), ['theirs'])
})
