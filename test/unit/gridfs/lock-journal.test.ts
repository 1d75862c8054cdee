import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { LockTable } from '../../../src/gridfs/lock-table.ts'
import { LockJournal } from '../../../src/gridfs/server/lock-journal.ts'

function fileFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'locks-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return join(folder, 'locks')
}

/** A table over what the journal of an earlier one holds. */
function openTable(file: string) {
  const journal = new LockJournal(file)
  const table = new LockTable((name, held) => journal.note(name, held))
  for (const [name, held] of journal.restored()) table.restore(name, held)
  return { table, journal }
}

const write = (start: bigint, end: bigint) => ({ start, end, type: 'write', pid: 7 }) as const
const TO_THE_END = 2n ** 63n - 1n

test('LockJournal gives a table back what was held', (t) => {
  const file = fileFor(t)
  const { table } = openTable(file)
  table.set('range \xff', { owner: 'a', lock: write(0n, TO_THE_END) })
  table.set('range x', { owner: 'a', lock: write(0n, 9n) })
  table.release('range x', 'a')
  const next = openTable(file).table
  assert.equal(next.size, 1)
  const mine = { owner: 'b', lock: write(5n, 5n) }
  const found = next.conflict('range \xff', mine)
  assert.deepEqual(
    [found?.start, found?.end, found?.type, found?.pid],
    [0n, TO_THE_END, 'write', 7],
  )
})

test('LockJournal takes up whole lines, wherever the last one was cut off', (t) => {
  const file = fileFor(t)
  const { table } = openTable(file)
  table.set('one', { owner: 'a', lock: write(0n, 9n) })
  table.set('two', { owner: 'a', lock: write(0n, 9n) })
  const bytes = readFileSync(file)
  const firstLine = bytes.indexOf('\n') + 1
  for (let length = firstLine; length < bytes.length; length += 1) {
    writeFileSync(file, bytes.subarray(0, length))
    assert.equal(openTable(file).table.size, 1)
  }
})

test('LockJournal stays short however often is locked', (t) => {
  const file = fileFor(t)
  const { table } = openTable(file)
  for (let round = 0; round < 20_000; round += 1) {
    table.set('file', { owner: 'someone', lock: write(0n, 9n) })
    table.release('file', 'someone')
  }
  assert.ok(readFileSync(file).length <= 2 ** 20 + 100)
  assert.equal(openTable(file).table.size, 0)
})

test('LockJournal writes nothing down after it was closed', (t) => {
  const file = fileFor(t)
  const { table, journal } = openTable(file)
  table.set('file', { owner: 'a', lock: write(0n, 9n) })
  journal.close()
  table.release('file', 'a')
  assert.equal(openTable(file).table.size, 1)
})
