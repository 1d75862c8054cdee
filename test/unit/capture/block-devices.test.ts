// Output of lsblk, sfdisk and blkid as values.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  parseLsblk,
  parseLvs,
  parsePvs,
  parseSfdisk,
  partitionFromBlkid,
} from '../../../src/capture/block-devices.ts'
import { parseBlkid } from '../../../src/host/host.ts'

const SFDISK = {
  partitiontable: {
    label: 'gpt',
    unit: 'sectors',
    sectorsize: 4096,
    partitions: [
      {
        node: '/dev/nvme0n1p2',
        start: 256,
        size: 10,
        type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
        uuid: '59D8263A-3C44-F04C-9942-2912D0B049D0',
        name: 'root',
        attrs: 'LegacyBIOSBootable GUID:63',
      },
    ],
  },
}

test('parseLsblk() flattens children and reads numbers that old versions quote', () => {
  const nodes = parseLsblk(
    JSON.stringify({
      blockdevices: [
        {
          ...{ kname: 'sda', pkname: null, type: 'disk', 'maj:min': '  8:0  ' },
          ...{ size: '1000', 'log-sec': '512', rm: '0' },
          children: [
            {
              ...{ kname: 'sda1', pkname: 'sda', type: 'part', 'maj:min': '8:1' },
              ...{ size: 900, 'log-sec': 512, rm: true },
            },
          ],
        },
      ],
    }),
  )
  assert.deepEqual(
    nodes?.map(({ name, parent, device, sizeBytes, sectorBytes, isRemovable }) => [
      ...[name, parent, device, sizeBytes, sectorBytes, isRemovable],
    ]),
    [
      ['sda', null, '8:0', 1000, 512, false],
      ['sda1', 'sda', '8:1', 900, 512, true],
    ],
  )
})

test('parseSfdisk() counts in bytes of the disk own sectors', () => {
  const table = parseSfdisk(JSON.stringify(SFDISK))
  assert.equal(table?.label, 'gpt')
  assert.deepEqual(table?.partitions[0], {
    device: 'nvme0n1p2',
    startBytes: 256 * 4096,
    sizeBytes: 40960,
    type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
    uuid: '59D8263A-3C44-F04C-9942-2912D0B049D0',
    name: 'root',
    attributes: 'LegacyBIOSBootable GUID:63',
    isBootable: false,
  })
})

test('parseLsblk() and parseSfdisk() give null for anything else', () => {
  const whole = JSON.stringify(SFDISK)
  for (let length = 0; length < whole.length; length++) {
    assert.equal(parseSfdisk(whole.slice(0, length)), null)
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.equal(parseLsblk(text), null)
      assert.equal(parseSfdisk(text), null)
    }),
  )
})

test('parseBlkid() removes the backslashes of its export format', () => {
  assert.deepEqual(parseBlkid('DEVNAME=/dev/sda1\nLABEL=my\\ root\\\\disk\nTYPE=ext4\n\nnoise\n'), {
    DEVNAME: '/dev/sda1',
    LABEL: 'my root\\disk',
    TYPE: 'ext4',
  })
})

test('partitionFromBlkid() spells GPT attributes as sfdisk does', () => {
  const partition = partitionFromBlkid('sda2', {
    PART_ENTRY_SCHEME: 'gpt',
    PART_ENTRY_TYPE: '0fc63daf-8483-4772-8e79-3d69d8477de4',
    PART_ENTRY_UUID: '59d8263a',
    PART_ENTRY_NAME: 'root',
    PART_ENTRY_FLAGS: '0x8000000000000004',
    PART_ENTRY_OFFSET: '2048',
    PART_ENTRY_SIZE: '8',
  })
  assert.equal(partition?.attributes, 'LegacyBIOSBootable GUID:63')
  assert.equal(partition?.startBytes, 1048576)
  assert.equal(partition?.sizeBytes, 4096)
})

test('partitionFromBlkid() reads the active flag and type of msdos tables', () => {
  const values = { PART_ENTRY_SCHEME: 'dos', PART_ENTRY_TYPE: '0x83', PART_ENTRY_FLAGS: '0x80' }
  const place = { PART_ENTRY_OFFSET: '1', PART_ENTRY_SIZE: '1' }
  const partition = partitionFromBlkid('sda1', { ...values, ...place })
  assert.equal(partition?.isBootable, true)
  assert.equal(partition?.type, '83')
  assert.equal(partitionFromBlkid('sda1', values), null)
})

test('parseLvs() and parsePvs() read what LVM 2.03 prints, and nothing of anything else', () => {
  const lvs = `{"report": [{"lv": [{"vg_name":"web", "lv_name":"root", "lv_dm_path":"/dev/mapper/web-root",
    "lv_size":"629145600", "lv_attr":"-wi-ao----", "vg_size":"2126512128", "vg_free":"0"}]}]}`
  assert.deepEqual(parseLvs(lvs), [
    {
      ...{ group: 'web', name: 'root', mapperName: 'web-root', sizeBytes: 629145600, kind: '-' },
      ...{ groupBytes: 2126512128, groupFreeBytes: 0 },
    },
  ])
  const pvs = '{"report": [{"pv": [{"pv_name":"/dev/mapper/secret", "vg_name":"web"}]}]}'
  assert.deepEqual(parsePvs(pvs), [{ path: '/dev/mapper/secret', group: 'web' }])
  for (const text of ['', '{}', 'WARNING: no', lvs.slice(0, -3)]) {
    assert.deepEqual([parseLvs(text), parsePvs(text)], [[], []])
  }
})
