// Answers that only a hostile server gives.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkAnswer } from '../../../src/gridfs/client/answer-checks.ts'

const readdir = { reference: Buffer.alloc(0), position: 0n, hasAttributes: false }
const entry = (name: string) => ({ name: Buffer.from(name), inode: 1n, type: 0, found: undefined })

describe('checkAnswer()', () => {
  for (const name of ['..', '.', '', '../secret', 'a/b', '/', 'a\0b']) {
    test(`refuses ${JSON.stringify(name)} as a name in a folder`, () => {
      const reply = { entries: [entry('fine'), entry(name)], next: 1n }
      assert.throws(() => checkAnswer('readdir', readdir, { reply, data: [] }), { code: 'EIO' })
    })
  }

  test('takes every name that is one', () => {
    const entries = ['...', '..a', '.a', ' ', '\xff', 'x'.repeat(255)].map(entry)
    checkAnswer('readdir', readdir, { reply: { entries, next: 1n }, data: [] })
  })

  test('refuses more bytes than were asked for', () => {
    const read = { handle: 1, offset: 0, sizeBytes: 10 }
    const parts = [Buffer.alloc(6), Buffer.alloc(5)]
    assert.throws(() => checkAnswer('read', read, { reply: {}, data: parts }), { code: 'EIO' })
    checkAnswer('read', read, { reply: {}, data: [Buffer.alloc(10)] })
    const copy = { handle: 1, offset: 0, toHandle: 2, toOffset: 0, lengthBytes: 10 }
    const reply = { lengthBytes: 11 }
    assert.throws(() => checkAnswer('copy', copy, { reply, data: [] }), { code: 'EIO' })
  })

  test('refuses a target of a symbolic link that no link has', () => {
    const request = { reference: Buffer.alloc(0) }
    for (const target of ['', 'a\0b']) {
      const answer = { reply: Buffer.from(target), data: [] }
      assert.throws(() => checkAnswer('readlink', request, answer), { code: 'EIO' })
    }
  })
})
