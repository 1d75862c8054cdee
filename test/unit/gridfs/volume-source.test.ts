import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatVolumeSource, parseVolumeSource } from '../../../src/gridfs/volumes/volume-source.ts'

const PORT = 7420

describe('parseVolumeSource()', () => {
  test('takes SERVER:/EXPORT at the default port', () => {
    const expected = { kind: 'server', host: 'server', port: PORT, export: '/images' }
    assert.deepEqual(parseVolumeSource('server:/images', PORT), expected)
  })

  test('takes SERVER:PORT:/EXPORT and an IPv6 address in brackets', () => {
    const expected = { kind: 'server', host: 'fd00::1', port: 7421, export: '/a/b' }
    assert.deepEqual(parseVolumeSource('[fd00::1]:7421:/a/b', PORT), expected)
  })

  for (const text of ['', 'server', 'server:images', ':/images', 'server:70000:/x', 'a:b:/x']) {
    test(`refuses ${JSON.stringify(text)}, naming what to write`, () => {
      assert.throws(() => parseVolumeSource(text, PORT), { code: 'ERR_SI_USAGE' })
    })
  }
})

describe('parseVolumeSource() of a mirror', () => {
  const member = (host: string, name: string) => ({
    ...{ kind: 'server' as const, host, port: PORT, export: name },
  })

  test('takes servers with an export each', () => {
    assert.deepEqual(parseVolumeSource('mirror:a:/x,b:7420:/y', PORT), {
      ...{ kind: 'mirror', members: [member('a', '/x'), member('b', '/y')] },
    })
  })

  test('gives the last export to servers without one', () => {
    const expected = { kind: 'mirror', members: ['a', 'b', 'c'].map((host) => member(host, '/x')) }
    assert.deepEqual(parseVolumeSource('a,b,c:/x', PORT), expected)
    assert.deepEqual(parseVolumeSource('mirror:a,b,c:/x', PORT), expected)
  })

  for (const text of [
    'mirror:',
    'mirror:a:/x',
    'a,b',
    'a:/x,b',
    'a,a:/x',
    'a,:/x',
    'mirror:a,a:7420:/x',
  ]) {
    test(`refuses ${text}`, () => {
      assert.throws(() => parseVolumeSource(text, PORT), { code: 'ERR_SI_USAGE' })
    })
  }
})

test('formatVolumeSource() puts an IPv6 address in brackets', () => {
  assert.equal(
    formatVolumeSource({ kind: 'server', host: 'fd00::1', port: PORT, export: '/x' }),
    '[fd00::1]:/x',
  )
})
