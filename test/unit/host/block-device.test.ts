import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  fileSystemCommand,
  parseBlkidExport,
  parseSfdiskJson,
  partitionPath,
  readBlockDevice,
} from '../../../src/host/host.ts'

test('parseSfdiskJson() reads a GPT with a gap in its numbers', () => {
  const text = JSON.stringify({
    partitiontable: {
      ...{ label: 'gpt', device: '/dev/loop0', unit: 'sectors', sectorsize: 4096 },
      partitions: [
        { node: '/dev/loop0p1', start: 256, size: 25600, type: 'X', uuid: 'AB', name: 'a "b' },
        { node: '/dev/loop0p3', start: 25856, size: 2560, type: 'Y' },
      ],
    },
  })
  const plain = { attributes: '', isBootable: false, signature: null }
  assert.deepEqual(parseSfdiskJson(text), {
    ...{ id: '', label: 'gpt' },
    partitions: [
      {
        ...{ number: 1, startBytes: 2 ** 20, sizeBytes: 25600 * 4096 },
        ...{ uuid: 'ab', name: 'a "b', typeCode: 'X', ...plain },
      },
      {
        ...{ number: 3, startBytes: 25856 * 4096, sizeBytes: 2560 * 4096 },
        ...{ uuid: '', name: '', typeCode: 'Y', ...plain },
      },
    ],
  })
})

test('parseSfdiskJson() gives null without a partition table', () => {
  assert.equal(parseSfdiskJson('{}'), null)
})

test('parseBlkidExport() undoes escapes and needs a type', () => {
  assert.deepEqual(parseBlkidExport('DEVNAME=/dev/a\nLABEL=a\\ \\"b\nUUID=1-2\nTYPE=ext4\n'), {
    ...{ type: 'ext4', label: 'a "b', uuid: '1-2' },
  })
  assert.equal(parseBlkidExport('DEVNAME=/dev/a\nPTTYPE=gpt\n'), null)
  assert.equal(parseBlkidExport(''), null)
})

test('partitionPath() puts a p behind a name that ends in a digit', () => {
  assert.equal(partitionPath('/dev/sda', 1), '/dev/sda1')
  assert.equal(partitionPath('/dev/nvme0n1', 12), '/dev/nvme0n1p12')
})

test('readBlockDevice() tells what is no disk', async () => {
  assert.equal((await readBlockDevice('/dev/null')).kind, 'other')
  assert.equal((await readBlockDevice('/')).kind, 'other')
  await assert.rejects(readBlockDevice('/dev/there-is-none'), { code: 'ENOENT' })
})

test('fileSystemCommand() keeps UUID and label in the words of each program', () => {
  const make = (type: 'ext4' | 'xfs' | 'vfat' | 'swap' | 'btrfs') =>
    fileSystemCommand({ type, uuid: 'ABCD-1234', label: 'L', minimumInodes: 9 }).flat().join(' ')
  assert.equal(make('ext4'), 'mkfs.ext4 -q -F -N 9 -U ABCD-1234 -L L')
  assert.equal(make('xfs'), 'mkfs.xfs -q -f -m uuid=ABCD-1234 -L L')
  assert.equal(make('vfat'), 'mkfs.vfat -i ABCD1234 -n L')
  assert.equal(make('swap'), 'mkswap -f -U ABCD-1234 -L L')
  assert.equal(make('btrfs'), 'mkfs.btrfs -q -f -U ABCD-1234 -L L')
  assert.deepEqual(fileSystemCommand({ type: 'ext4', uuid: '', label: '', isDiscardable: true }), [
    'mkfs.ext4',
    ['-q', '-F', '-E', 'lazy_journal_init=1'],
  ])
  assert.deepEqual(fileSystemCommand({ type: 'xfs', uuid: '', label: '' }), [
    'mkfs.xfs',
    ['-q', '-f'],
  ])
})
