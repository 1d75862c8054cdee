import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseLayout } from '../../../../src/deploy/disks/layout-file.ts'
import { findBootFault, findBootPath } from '../../../../src/deploy/finish/boot-path.ts'

/** Two disks with an EFI system partition and a rest each, and what is made of them. */
function layout(rest: string, efi = 'type: efi, format: vfat') {
  const disk = (name: string) => `
  - name: ${name}
    partitions: [{ number: 1, size: 64MiB, ${efi} }, { number: 2, size: 300MiB }, { number: 3, size: rest }]`
  const text = `disks:${disk('a')}${disk('b')}\n${rest}\n`
  return parseLayout(text, { file: 'layout.yaml', golden: null })
}

const BOOT =
  'arrays:\n  - { name: boot, level: 1, members: [a2, b2], format: ext4, mount: /boot }\n'
const SECRET = 'encrypted:\n  - { name: secret, device: system, key-file: /key }\n'
const ROOT = (member: string) => `volume-groups:
  - name: vg
    members: [${member}]
    volumes: [{ name: root, size: rest, format: ext4, mount: / }]`

test('findBootPath() leads through volumes, encryption and arrays down to the disks', () => {
  const system = '  - { name: system, level: 1, members: [a3, b3] }\n'
  const path = findBootPath(layout(`arrays:\n${system}${SECRET}${ROOT('secret')}`))
  assert.deepEqual([...path.layers].sort(), ['secret', 'system', 'vg'])
  assert.deepEqual(
    path.disks.map(({ name }) => name),
    ['a', 'b'],
  )
  assert.equal(path.isRedundant, true)
})

test('findBootPath() calls /boot redundant only where every disk may die', () => {
  assert.equal(findBootPath(layout(ROOT('a3, b3'))).isRedundant, false)
  assert.equal(findBootPath(layout(BOOT + ROOT('a3'))).isRedundant, true)
  const striped = 'arrays:\n  - { name: s, level: 0, members: [a3, b3], format: ext4, mount: / }'
  assert.equal(findBootPath(layout(striped)).isRedundant, false)
})

test('findBootFault() refuses /boot on an encrypted device, and lets the root be on one', () => {
  const system = '  - { name: system, level: 1, members: [a3, b3] }\n'
  const within = layout(`arrays:\n${system}${SECRET}${ROOT('secret')}`)
  assert.deepEqual(findBootFault(within, 'bios'), {
    why: '/boot lies on the encrypted device secret, which GRUB cannot read',
    hint: 'Give /boot a partition or an array of its own in a layout file, or add --firmware none',
  })
  assert.equal(findBootFault(within, 'none'), undefined)
  assert.equal(
    findBootFault(layout(`${BOOT}${system}${SECRET}${ROOT('secret')}`), 'both'),
    undefined,
  )
})

test('findBootFault() refuses disks of which none has a partition table', () => {
  const text = 'disks:\n  - { name: a, table: none, format: ext4, mount: / }\n'
  const whole = parseLayout(text, { file: 'layout.yaml', golden: null })
  assert.match(findBootFault(whole, 'bios')?.why ?? '', /^a would have no partition table/)
})

test('findBootFault() lets EFI system partitions be a RAID 1 only as firmware can read it', () => {
  const array = (how: string) =>
    layout(
      `${BOOT}  - { name: esp, ${how}, members: [a1, b1], format: vfat, mount: /boot/efi }
${ROOT('a3')}`,
      'type: efi',
    )
  assert.equal(findBootFault(array('level: 1, metadata: "1.0"'), 'uefi'), undefined)
  assert.equal(findBootFault(array('level: 1'), 'bios'), undefined)
  for (const how of ['level: 1', 'level: 0, metadata: "1.0"']) {
    assert.match(findBootFault(array(how), 'both')?.why ?? '', /^the array esp is made of EFI/)
  }
})
