import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { MirrorLog } from '../../../src/gridfs/server/mirror-log.ts'
import { type WireMiss } from '../../../src/gridfs/wire/operations.ts'

const bytes = (text: string) => Buffer.from(text)
const [A, B] = ['a:7420:/x', 'b:7420:/x'].map(bytes) as [Buffer, Buffer]
const VERIFIER = Buffer.alloc(32, 7)
const clean = (...members: readonly Buffer[]) =>
  members.map((member) => ({ member, verifier: VERIFIER }))
const MISS: WireMiss = { kind: 'renamed', path: bytes('new name'), from: bytes('old') }

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mirror-log-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('MirrorLog', () => {
  test('knows the standing again after a restart', () => {
    new MirrorLog(folder, 'boot').standing = { version: 5, clean: clean(A, B) }
    assert.deepEqual(new MirrorLog(folder, 'boot').standing, { version: 5, clean: clean(A, B) })
  })

  test('keeps what a dirty member has missed, until it is clean', async () => {
    const log = new MirrorLog(folder, 'boot')
    log.standing = { version: 1, clean: clean(A, B) }
    log.standing = { version: 2, clean: clean(A) }
    log.note(B, [MISS, MISS])
    assert.deepEqual(log.misses(B, 1), { misses: [MISS], next: 2, isWhole: true })
    assert.deepEqual(log.misses(B, 2).misses, [])
    log.standing = { version: 3, clean: clean(A, B) }
    assert.deepEqual(await readdir(join(folder, 'mirror')), ['standing.json'])
  })

  test('says that nothing was missed of a member that became dirty without a change', () => {
    const log = new MirrorLog(folder, 'boot')
    log.standing = { version: 1, clean: clean(A, B) }
    log.standing = { version: 2, clean: clean(A) }
    assert.deepEqual(log.misses(B, 0), { misses: [], next: 0, isWhole: true })
  })

  test('does not vouch for what was written before the kernel restarted', () => {
    new MirrorLog(folder, 'boot').note(B, [MISS])
    assert.equal(new MirrorLog(folder, 'another boot').misses(B, 0).isWhole, false)
  })

  test('suspects what was being changed, after a restart, too; of too much: anything', () => {
    const log = new MirrorLog(folder, 'boot')
    log.changing(bytes('a/b'))
    log.changing(bytes('a/b'))
    assert.deepEqual(new MirrorLog(folder, 'boot').suspects(), [bytes('a/b')])
    log.settled()
    assert.deepEqual(new MirrorLog(folder, 'boot').suspects(), [])
    for (let index = 0; index < 300; index += 1) log.changing(bytes(`file ${index}`))
    assert.deepEqual(new MirrorLog(folder, 'boot').suspects(), [bytes('')])
  })
})
