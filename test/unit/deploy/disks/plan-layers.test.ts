// RAID, LUKS and LVM between partitions and file systems: order, sizes, and the commands that make them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { makingCommands } from '../../../../src/deploy/disks/build-storage.ts'
import { arrayBytes, groupBytes } from '../../../../src/deploy/disks/capacity.ts'
import { toLayout } from '../../../../src/deploy/disks/captured-layout.ts'
import { formatDiskPlan } from '../../../../src/deploy/disks/format-disk-plan.ts'
import { parseLayout } from '../../../../src/deploy/disks/layout-file.ts'
import { formatLayout } from '../../../../src/deploy/disks/layout-text.ts'
import { planStorage } from '../../../../src/deploy/disks/plan-storage.ts'
import type { DiskPlan, TargetDisk } from '../../../../src/deploy/disks/disk-plan.ts'
import { RAID_LEVELS } from '../../../../src/deploy/disks/layout.ts'
import { GOLDEN_RAID, GOLDEN_UUID } from './layout-samples.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30

function target(path: string, sizeBytes: number): TargetDisk {
  return {
    device: {
      ...{ path, kind: 'disk', sizeBytes, sectorBytes: 512, isReadOnly: false },
      deviceNumbers: ['8:0'],
    },
    existing: { table: null, signature: null },
    stack: [],
  }
}

function planText(text: string, sizes: readonly number[]): DiskPlan {
  const golden = toLayout(GOLDEN_RAID)
  return planStorage({
    image: { name: 'web', version: '7', contentBytes: GIB, entryCount: 1000 },
    layout: parseLayout(text, { file: 'l.yaml', golden }),
    disks: sizes.map((sizeBytes, index) => target(`/dev/nvme${index}n1`, sizeBytes)),
    ...{ usage: new Map(), spillBytes: 0 },
  })
}

const goldenText = () =>
  formatLayout(toLayout(GOLDEN_RAID), { image: 'web 7' }).replace('/PATH/TO/THE/KEY', '/run/key')

test('planStorage() re-creates RAID 1, LUKS and LVM of the golden client on smaller disks', () => {
  const plan = planText(goldenText(), [40 * GIB, 30 * GIB])
  assert.deepEqual(
    plan.layers.map(({ kind, name }) => `${kind} ${name}`),
    ['array md0', 'array md1', 'encryption secret', 'volumeGroup web'],
  )
  assert.deepEqual(
    plan.layers.flatMap(makingCommands).map((command) => command.join(' ')),
    [
      'mdadm --create /dev/md0 --run --quiet --homehost=any --name=0 --level=1 --metadata=1.0 ' +
        '--bitmap=internal --uuid=11111111:22222222:33333333:44444444 --raid-devices=2 /dev/nvme0n1p2 /dev/nvme1n1p2',
      'mdadm --create /dev/md1 --run --quiet --homehost=any --name=1 --level=1 --metadata=1.2 ' +
        '--bitmap=internal --uuid=11111111:22222222:33333333:55555555 --raid-devices=2 /dev/nvme0n1p3 /dev/nvme1n1p3',
      `cryptsetup luksFormat --type luks2 --batch-mode --key-file /run/key --uuid ${GOLDEN_UUID} /dev/md1`,
      'cryptsetup open --type luks2 --key-file /run/key /dev/md1 secret',
      'pvcreate --yes --force --force --quiet /dev/mapper/secret',
      'vgcreate --yes --quiet -- web /dev/mapper/secret',
      'lvcreate --yes --quiet --wipesignatures y --zero y --extents 5120 --name root -- web',
      'lvcreate --yes --quiet --wipesignatures y --zero y --extents 1024 --name swap-1 -- web',
      'lvcreate --yes --quiet --wipesignatures y --zero y --extents 100%FREE --name srv -- web',
    ],
  )
  const root = plan.fileSystems.find(({ mountPoint }) => mountPoint === '/')
  assert.equal(root?.device, '/dev/mapper/web-root')
  assert.ok(plan.fileSystems.some(({ device }) => device === '/dev/mapper/web-swap--1'))
})

test('formatDiskPlan() says what every partition, array and volume becomes', () => {
  const text = formatDiskPlan(planText(goldenText(), [40 * GIB, 30 * GIB])).join('\n')
  assert.match(text, /partition 3, 38\.7 GiB: member of RAID 1 md1/)
  assert.match(text, /Create \/dev\/md0, about .*, RAID 1 of \/dev\/nvme0n1p2, .*: ext4 for \/boot/)
  assert.match(text, /Encrypt \/dev\/md1 as \/dev\/mapper\/secret, .*: physical volume of web/)
  assert.match(text, /volume srv, 4\.\d GiB: xfs for \/srv/)
})

test('planStorage() refuses disks on which the volumes do not fit', () => {
  assert.throws(() => planText(goldenText(), [40 * GIB, 20 * GIB]), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: /Cannot deploy image "web" to \/dev\/nvme1n1: disk holds 20\.0 GiB, image needs 2\d/,
  })
})

test('planStorage() refuses a volume that is too small for what the image holds', () => {
  const text = goldenText().replace('size: 20GiB', 'size: 1GiB')
  assert.throws(() => planText(text, [40 * GIB, 40 * GIB]), {
    message: /to volume group web: volume root has 1\.0 GiB, image needs 2\.\d GiB/,
  })
})

test('planStorage() asks for the key of an encrypted device', () => {
  const layout = toLayout(GOLDEN_RAID)
  const disks = [target('/dev/sda', 40 * GIB), target('/dev/sdb', 40 * GIB)]
  const image = { name: 'web', version: '7', contentBytes: GIB, entryCount: 1000 }
  assert.throws(() => planStorage({ image, layout, disks, usage: new Map(), spillBytes: 0 }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: /no key is known for the encrypted device secret/,
  })
})

test('planStorage() spreads a volume group over a whole disk and a partition', () => {
  const text = `disks:
  - name: a
    partitions:
      - { number: 1, size: 10GiB, format: ext4, mount: / }
      - { number: 2, size: rest }
  - { name: b, table: none }
volume-groups:
  - name: data
    members: [a2, b]
    volumes:
      - { name: half, size: 50%, format: xfs, mount: /srv }
`
  const plan = planText(text, [20 * GIB, 30 * GIB])
  const [group] = plan.layers
  assert.ok(group?.kind === 'volumeGroup')
  assert.deepEqual(group.members, ['/dev/nvme0n1p2', '/dev/nvme1n1'])
  assert.equal(group.sizeBytes, groupBytes([10 * GIB - 2 * MIB, 30 * GIB]))
  assert.equal(plan.disks[0]?.partitions[1]?.typeCode, 'E6D6D379-F507-44C2-A23C-238F2A3DF928')
})

test('arrayBytes() never promises more than the members hold', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...RAID_LEVELS),
      fc.array(fc.integer({ min: 16 * MIB, max: 2 ** 43 }), { minLength: 4, maxLength: 12 }),
      (level, members) => {
        const bytes = arrayBytes(level, members)
        const smallest = Math.min(...members)
        const lost = { '0': 0, '1': members.length - 1, '5': 1, '6': 2, '10': members.length / 2 }
        assert.ok(bytes >= 0 && bytes < smallest * (members.length - lost[level]))
      },
    ),
  )
})
