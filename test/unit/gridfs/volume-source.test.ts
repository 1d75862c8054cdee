import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatVolumeSource, parseVolumeSource } from '../../../src/gridfs/volumes/volume-source.ts'

const PORT = 7420

describe('parseVolumeSource()', () => {
  test('takes SERVER:/EXPORT at the default port', () => {
    const expected = { host: 'server', port: PORT, export: '/images' }
    assert.deepEqual(parseVolumeSource('server:/images', PORT), expected)
  })

  test('takes SERVER:PORT:/EXPORT and an IPv6 address in brackets', () => {
    const expected = { host: 'fd00::1', port: 7421, export: '/a/b' }
    assert.deepEqual(parseVolumeSource('[fd00::1]:7421:/a/b', PORT), expected)
  })

  for (const text of ['', 'server', 'server:images', ':/images', 'server:70000:/x', 'a:b:/x']) {
    test(`refuses ${JSON.stringify(text)}, naming what to write`, () => {
      assert.throws(() => parseVolumeSource(text, PORT), { code: 'ERR_SI_USAGE' })
    })
  }
})

test('formatVolumeSource() puts an IPv6 address in brackets', () => {
  assert.equal(formatVolumeSource({ host: 'fd00::1', port: PORT, export: '/x' }), '[fd00::1]:/x')
})
