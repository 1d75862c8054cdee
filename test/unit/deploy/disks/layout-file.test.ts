// Layout files: what they say, what is refused with which line, and that a printed layout reads back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { SiError } from '../../../../src/core/core.ts'
import { toLayout } from '../../../../src/deploy/disks/captured-layout.ts'
import { parseLayout } from '../../../../src/deploy/disks/layout-file.ts'
import { formatLayout } from '../../../../src/deploy/disks/layout-text.ts'
import type { Layout } from '../../../../src/deploy/disks/layout.ts'
import { GOLDEN_RAID, GOLDEN_UUID } from './layout-samples.ts'

const parse = (text: string, golden: Layout | null = null) =>
  parseLayout(text, { file: 'l.yaml', golden })

function faultOf(text: string): string {
  try {
    parse(text)
  } catch (error) {
    assert.ok(error instanceof SiError, String(error))
    assert.equal(error.code, 'ERR_SI_CONFIGURATION')
    return error.message
  }
  assert.fail('it was accepted')
}

const PLAIN = `disks:
  - name: sda
    match: { model: "Samsung*", min-size: 100GB, pick: smallest }
    partitions:
      - number: 1
        size: 512MiB
        format: vfat
        mount: /boot/efi
      - number: 2
        size: 25%
        format: swap
        uuid: new
      - number: 3
        size: rest
        format: btrfs
        subvolumes:
          - { path: "@", mount: /, options: "compress=zstd" }
          - { path: "@home", mount: /home }
`

test('parseLayout() reads disks, rules, sizes, types and subvolumes', () => {
  const { disks } = parse(PLAIN)
  const [disk] = disks
  assert.deepEqual(disk?.rule, {
    ...{ path: null, byId: null, model: 'Samsung*', serial: null, transport: null },
    ...{ minimumBytes: 1e11, maximumBytes: Infinity, pick: 'smallest' },
  })
  assert.deepEqual(
    disk.partitions.map(({ size, typeCode }) => [size, typeCode.slice(0, 8)]),
    [
      [{ kind: 'fixed', bytes: 512 * 2 ** 20 }, 'C12A7328'],
      [{ kind: 'percent', percent: 25 }, '0657FD6D'],
      [{ kind: 'rest' }, '0FC63DAF'],
    ],
  )
  assert.deepEqual(disk.partitions[2]?.fileSystem?.subvolumes, [
    { path: '@', mountPoint: '/', mountOptions: 'compress=zstd' },
    { path: '@home', mountPoint: '/home', mountOptions: '' },
  ])
})

const faults: readonly [what: string, text: string, message: RegExp][] = [
  [
    'an unknown key',
    PLAIN.replace('format: vfat', 'formt: vfat'),
    /l\.yaml: line 7: unknown key "formt": did you mean "format"\?/,
  ],
  [
    'an unknown word',
    PLAIN.replace('format: vfat', 'format: fat32'),
    /line 7: format: must be ext2, .* or swap/,
  ],
  ['a size that is none', PLAIN.replace('25%', '250%'), /line 10: size: must be a size such as/],
  ['a missing size', PLAIN.replace('        size: 25%\n', ''), /line 9: size: is missing/],
  ['two with the rest', PLAIN.replace('25%', 'rest'), /line 14: only one can have the rest/],
  ['a number twice', PLAIN.replace('number: 2', 'number: 1'), /line 9: partition 1 stands twice/],
  ['no root', PLAIN.replace('mount: /,', 'mount: /srv,'), /nothing is mounted on \//],
  ['a mount point twice', PLAIN.replace('/home', '/boot/efi'), /sda3 is not the first/],
  ['a mount point with ..', PLAIN.replace('/home', '/a/../b'), /line 18: mount: must be/],
  [
    'a rule that is none',
    PLAIN.replace(/match: .*/, 'match: frist'),
    /line 3: pick: must be first/,
  ],
  ['a UUID that is none', PLAIN.replace('uuid: new', 'uuid: 7'), /line 12: "7" is no UUID of swap/],
  [
    'a label that is too long',
    PLAIN.replace('format: vfat', 'format: vfat\n        label: EFI-SYSTEM-PARTITION'),
    /line 8: a label of vfat has 11 bytes/,
  ],
  [
    'subvolumes of another file system',
    PLAIN.replace('format: btrfs', 'format: xfs'),
    /line 16: xfs has no subvolumes/,
  ],
  [
    'a member that is not there',
    `${PLAIN}arrays:\n  - { name: md0, level: 1, members: [sda9] }\n`,
    /line 20: there is no device sda9; there are sda1, sda2, sda3, md0/,
  ],
  [
    'a member with a file system',
    `${PLAIN}arrays:\n  - { name: md0, level: 1, members: [sda2] }\n`,
    /line 20: sda2 has a file system, so it cannot belong to md0/,
  ],
  [
    'a circle',
    `${PLAIN}arrays:\n  - { name: md0, level: 1, members: [a] }\nencrypted:\n  - { name: a, device: md0 }\n`,
    /md0 would be made of itself/,
  ],
  [
    'too few members',
    `${PLAIN.replace('format: swap\n        uuid: new', 'type: raid')}arrays:\n  - { name: md0, level: 5, members: [sda2] }\n`,
    /line 19: RAID 5 needs 3 members/,
  ],
  [
    'a GPT type in an msdos table',
    PLAIN.replace('    partitions:', '    table: msdos\n    partitions:').replace(
      'format: swap',
      'type: bios-boot',
    ),
    /line 12: .*msdos has no partition type "bios-boot"/,
  ],
  [
    'gaps between logical partitions',
    PLAIN.replace('    partitions:', '    table: msdos\n    partitions:').replace(
      'number: 3',
      'number: 6',
    ),
    /line 14: logical partitions must be numbered 5, 6/,
  ],
]
for (const [what, text, message] of faults) {
  test(`parseLayout() names the line of ${what}`, () => assert.match(faultOf(text), message))
}

test('parseLayout() keeps the golden client’s UUIDs by name of the device, or makes new ones', () => {
  const golden = toLayout(GOLDEN_RAID)
  const text = formatLayout(golden, { image: 'web 7' })
  const uuidOf = (layout: Layout) => layout.volumeGroups[0]?.volumes[0]?.fileSystem?.uuid
  assert.equal(uuidOf(parse(text, golden)), GOLDEN_UUID)
  assert.equal(uuidOf(parse(text.replace(/^uuid: keep/m, 'uuid: new'), golden)), '')
  assert.equal(parse(text.replace(/^uuid: keep/m, 'uuid: new'), golden).arrays[0]?.uuid, '')
})

test('formatLayout() prints what parseLayout() reads back, arrays, encryption and volumes too', () => {
  const golden = toLayout(GOLDEN_RAID)
  const text = formatLayout(golden, { image: 'web 7' })
  const bare = (layout: Layout) =>
    JSON.parse(
      JSON.stringify(layout, (key, value: unknown) => {
        return ['sourceSizeBytes', 'origin', 'keyFile', 'usedBytes'].includes(key) ? null : value
      }),
    ) as unknown
  assert.deepEqual(bare(parse(text, golden)), bare(golden))
})

test('parseLayout() accepts or refuses any text, and always says where', () => {
  const lines = PLAIN.split('\n')
  fc.assert(
    fc.property(
      fc.nat(lines.length - 1),
      fc.oneof(fc.string(), fc.constantFrom('- 1', 'size: rest', '{', 'x: &a [*a]', '\t', '')),
      (at, text) => {
        const changed = lines.with(at, text).join('\n')
        try {
          parse(changed)
        } catch (error) {
          assert.ok(error instanceof SiError, String(error))
          assert.match(error.message, /^Cannot use l\.yaml:\s+line \d+: ./)
        }
      },
    ),
    { numRuns: 300 },
  )
})
