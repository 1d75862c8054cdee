import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatPath, joinPath, parsePath, splitPath } from '../../../src/gridfs/path-text.ts'

describe('formatPath()', () => {
  test('is undone by parsePath(), and needs no more than printable characters', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = formatPath(bytes)
        assert.match(text, /^[!-~]+$/)
        assert.deepEqual(parsePath(text), Buffer.from(bytes))
      }),
    )
  })

  test('keeps what people can read, and tells the root from a file of one dot', () => {
    assert.equal(formatPath(Buffer.from('usr/my file')), 'usr/my%20file')
    assert.equal(formatPath(Buffer.alloc(0)), '.')
    assert.equal(formatPath(Buffer.from('.')), '%2E')
  })
})

test('splitPath() undoes joinPath()', () => {
  for (const folder of ['', 'a', 'a/b']) {
    const split = splitPath(joinPath(Buffer.from(folder), Buffer.from('name')))
    assert.deepEqual(split, { folder: Buffer.from(folder), name: Buffer.from('name') })
  }
})
