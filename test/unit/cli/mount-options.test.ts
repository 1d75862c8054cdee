// Options of mount(8) and fstab, as flags of si-gridfs mount.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseMountOptions, withPort } from '../../../src/cli/mount-options.ts'

describe('parseMountOptions()', () => {
  test('makes flags of what is for us, and leaves what is for others', () => {
    const text = 'rw,noauto,_netdev,x-systemd.automount,soft=30,nodev,cert=/a.pem,port=7421,log=/l'
    assert.deepEqual(parseMountOptions(text), {
      flags: ['--soft', '30', '--certificate', '/a.pem', '--options', 'rw,nodev'],
      ...{ port: 7421, logFile: '/l' },
    })
    const nothing = { flags: [], port: undefined, logFile: undefined }
    assert.deepEqual(parseMountOptions(''), nothing)
    assert.deepEqual(parseMountOptions('defaults,comment=a=b,x-y=1'), nothing)
  })

  for (const option of [
    'sotf=3',
    'soft',
    'ro=1',
    'port',
    'port=0',
    'port=70000',
    'fd=3',
    '=',
    'x',
  ]) {
    test(`refuses ${option}, and names it`, () => {
      assert.throws(() => parseMountOptions(`ro,${option}`), {
        code: 'ERR_SI_USAGE',
        message: new RegExp(`Cannot (mount with|use) .*${option}`),
      })
    })
  }

  test('ignores what it does not know when mount is to be sloppy', () => {
    assert.deepEqual(parseMountOptions('vers=4,ro', { ignoresUnknown: true }).flags, [
      ...['--options', 'ro'],
    ])
  })
})

test('withPort() names a port where none is named', () => {
  assert.equal(withPort('server:/images', 7421), 'server:7421:/images')
  assert.equal(withPort('[::1]:/images', 7421), '[::1]:7421:/images')
  assert.equal(withPort('server:1:/images', 7421), 'server:1:/images')
  assert.equal(withPort('server:/images', undefined), 'server:/images')
})
