// Names are harmless path components.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { parseImageName, parseImageVersion } from '../../../src/repository/names.ts'

test('parseImageName() takes letters, digits, dots, underscores and hyphens', () => {
  for (const name of ['a', 'golden01', 'web-01.example_x', 'A'.repeat(64), '10.0.0.7']) {
    assert.equal(parseImageName(name), name)
  }
})

test('parseImageName() and parseImageVersion() refuse what is no plain component', () => {
  for (const text of ['', '.', '..', '.hidden', '-x', 'a/b', 'a b', 'ä', 'a\n', 'A'.repeat(65)]) {
    assert.throws(() => parseImageName(text), { code: 'ERR_SI_IMAGE_NAME' }, text)
    assert.throws(() => parseImageVersion(text), { code: 'ERR_SI_IMAGE_NAME' }, text)
  }
})

test('parseImageVersion() keeps the word latest for the newest version', () => {
  assert.throws(() => parseImageVersion('latest'), { code: 'ERR_SI_IMAGE_NAME', message: /latest/ })
})

test('parseImageName() never lets a path through', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        assert.doesNotMatch(parseImageName(text), /^\.|[/\0\s]/)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'ERR_SI_IMAGE_NAME')
      }
    }),
  )
})
