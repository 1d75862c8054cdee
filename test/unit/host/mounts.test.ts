import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  canMount,
  hasProgram,
  parseMemoryAvailable,
  parseMountInfo,
  parseSwaps,
} from '../../../src/host/host.ts'

test('parseMountInfo() reads device, place and type, with optional fields and escapes', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt/two\\040words rw,noatime master:1 shared:2 - ext3 /dev/root rw',
    '22 36 0:20 / /sys rw,nosuid - sysfs sysfs rw',
    'nonsense',
    '',
  ].join('\n')
  assert.deepEqual(parseMountInfo(text), [
    { deviceNumber: '98:0', mountPoint: '/mnt/two words', type: 'ext3', source: '/dev/root' },
    { deviceNumber: '0:20', mountPoint: '/sys', type: 'sysfs', source: 'sysfs' },
  ])
})

test('parseMountInfo() leaves out whatever is cut off', () => {
  const text = '36 35 98:0 / /mnt rw - ext3 /dev/root rw'
  for (let length = 0; length < text.length; length++) {
    for (const mount of parseMountInfo(text.slice(0, length)))
      assert.equal(mount.deviceNumber, '98:0')
  }
})

test('parseSwaps() gives the paths of active swap', () => {
  const text =
    'Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1000 0 -2\n/a\\040b file 1 0 -3\n'
  assert.deepEqual(parseSwaps(text), ['/dev/sda2', '/a b'])
  assert.deepEqual(parseSwaps(''), [])
})

test('parseMemoryAvailable() reads kibibytes, and 0 where the kernel tells nothing', () => {
  assert.equal(parseMemoryAvailable('MemTotal: 9 kB\nMemAvailable:   23757 kB\n'), 23757 * 1024)
  assert.equal(parseMemoryAvailable('MemTotal: 9 kB\n'), 0)
})

test('hasProgram() and canMount() know what is there and what is not', async () => {
  assert.equal(await hasProgram('sh'), true)
  assert.equal(await hasProgram('no-such-program'), false)
  assert.equal(await canMount('proc'), true)
  assert.equal(await canMount('no-such-file-system'), false)
})
