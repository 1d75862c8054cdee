import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import {
  JOURNAL_NAME,
  openJournal,
  parseJournal,
  readJournalOwner,
} from '../../../src/deploy/journal.ts'
import { parseInfoHash } from '../../../src/torrent/torrent.ts'

const parent = mkdtempSync(join(tmpdir(), 'si-journal-'))
after(() => rmSync(parent, { recursive: true }))
const newDirectory = () => mkdtempSync(join(parent, 'target-'))
const OURS = { infoHash: parseInfoHash('ab'.repeat(20)), pieceCount: 100 }
const OTHER = { infoHash: parseInfoHash('cd'.repeat(20)), pieceCount: 100 }

const checksums = (pieces: readonly number[]) =>
  new Map(pieces.map((piece) => [piece, piece * 100]))

test('a journal that is opened again knows its pieces, and loses those of a cut off line', async () => {
  const directory = newDirectory()
  const first = await openJournal(directory, OURS)
  await first.append(checksums([3, 1]))
  await first.append(checksums([]))
  await first.append(checksums([7]))
  await first.close()
  appendFileSync(join(directory, JOURNAL_NAME), '[[8,800],[9,9')
  const second = await openJournal(directory, OURS)
  assert.deepEqual([...second.pieces], [...checksums([3, 1, 7])])
  await second.append(checksums([10]))
  await second.close()
  await second.close()
  const third = await openJournal(directory, OURS)
  assert.deepEqual([...third.pieces.keys()], [3, 1, 7, 10])
  await third.remove()
  assert.deepEqual(readdirSync(directory), [])
})

test('a piece that was lost and recorded again has its last checksum', async () => {
  const directory = newDirectory()
  const first = await openJournal(directory, OURS)
  await first.append(checksums([1, 2]))
  first.forget(1)
  assert.deepEqual([...first.pieces], [[2, 200]])
  await first.append(new Map([[1, 7]]))
  await first.close()
  const second = await openJournal(directory, OURS)
  assert.deepEqual(
    [...second.pieces],
    [
      [1, 7],
      [2, 200],
    ],
  )
  await second.close()
})

test('openJournal() begins anew over the journal of another image', async () => {
  const directory = newDirectory()
  const other = await openJournal(directory, OTHER)
  await other.append(checksums([5]))
  await other.close()
  assert.equal(await readJournalOwner(directory), OTHER.infoHash)
  const ours = await openJournal(directory, OURS)
  assert.equal(ours.pieces.size, 0)
  await ours.close()
  assert.equal(await readJournalOwner(directory), OURS.infoHash)
})

test('openJournal() refuses a target that another process fills', async () => {
  const directory = newDirectory()
  const first = await openJournal(directory, OURS)
  await assert.rejects(openJournal(directory, OURS), { code: 'ERR_SI_TARGET_BUSY' })
  await first.close()
})

test('readJournalOwner() gives undefined without a journal and for a file that is none', async () => {
  const directory = newDirectory()
  assert.equal(await readJournalOwner(directory), undefined)
  writeFileSync(join(directory, JOURNAL_NAME), 'something else\n')
  assert.equal(await readJournalOwner(directory), undefined)
})

test('openJournal() ignores pieces that the torrent does not have', async () => {
  const directory = newDirectory()
  const journal = await openJournal(directory, OURS)
  await journal.append(checksums([99, 100, 4000]))
  await journal.close()
  const again = await openJournal(directory, OURS)
  assert.deepEqual([...again.pieces.keys()], [99])
  await again.close()
})

test('parseJournal() never throws and reads a prefix of the pieces when cut at any byte', async () => {
  const directory = newDirectory()
  const journal = await openJournal(directory, OURS)
  await journal.append(checksums([1, 20]))
  await journal.append(checksums([3]))
  await journal.close()
  const text = readFileSync(join(directory, JOURNAL_NAME), 'utf8')
  for (let length = 0; length < text.length; length++) {
    const pieces = parseJournal(text.slice(0, length))?.pieces ?? []
    assert.deepEqual(pieces, [...checksums([1, 20, 3])].slice(0, pieces.length))
  }
  fc.assert(fc.property(fc.string(), (noise) => void parseJournal(noise)))
  fc.assert(
    fc.property(fc.json(), (noise) => {
      const pieces = parseJournal(`${text}${noise}\n`)?.pieces ?? []
      assert.ok(pieces.flat().every((number) => Number.isSafeInteger(number) && number >= 0))
    }),
  )
})

test('openJournal() tells a journal that it begins from one that it goes on with', async () => {
  const directory = newDirectory()
  const first = await openJournal(directory, OURS)
  assert.equal(first.isNew, true)
  await first.close()
  const second = await openJournal(directory, OURS)
  assert.equal(second.isNew, false)
  await second.close()
})
