import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orderWith, parseEfiEntries } from '../../../../src/deploy/finish/efi-entries.ts'
import { chooseFirmware, type FirmwareChoice } from '../../../../src/deploy/finish/firmware.ts'
import { FEATURE_PATHS, findFeatures } from '../../../../src/deploy/finish/image-features.ts'

function featuresOf(...paths: string[]) {
  for (const path of paths) assert.ok(FEATURE_PATHS.includes(path), path)
  return findFeatures((path) => paths.includes(path))
}

const BIOS = ['usr/sbin/grub-install', 'usr/lib/grub/i386-pc/normal.mod']
const UEFI = ['usr/sbin/grub-install', 'usr/lib/grub/x86_64-efi/normal.mod']

test('findFeatures() takes GRUB for what its modules are, and for none without its installer', () => {
  assert.deepEqual(featuresOf('etc', ...BIOS, 'usr/sbin/update-grub').grub, {
    ...{ install: 'grub-install', configure: ['update-grub'], forBios: true, efiTarget: null },
  })
  const fedora = featuresOf('usr/sbin/grub2-install', 'usr/lib/grub/x86_64-efi/normal.mod').grub
  assert.deepEqual(fedora?.configure, ['grub2-mkconfig', '-o', '/boot/grub2/grub.cfg'])
  assert.equal(fedora?.efiTarget, 'x86_64-efi')
  assert.equal(featuresOf('usr/lib/grub/i386-pc/normal.mod').grub, null)
})

test('findFeatures() takes the network program that is enabled', () => {
  const wants = 'etc/systemd/system/multi-user.target.wants'
  assert.equal(featuresOf('usr/sbin/ifup').network, 'ifupdown')
  const networkd = `${wants}/systemd-networkd.service`
  assert.equal(featuresOf('usr/sbin/ifup', networkd).network, 'systemd-networkd')
  const manager = `${wants}/NetworkManager.service`
  assert.equal(featuresOf(networkd, manager, 'usr/sbin/NetworkManager').network, 'NetworkManager')
  assert.equal(featuresOf('etc').network, null)
})

test('findFeatures() takes an image for one without network only if no program could bring it up', () => {
  assert.equal(featuresOf('etc').hasNetwork, false)
  assert.equal(featuresOf('usr/sbin/ifup').hasNetwork, true)
  const netplan = featuresOf('usr/sbin/netplan')
  assert.deepEqual([netplan.network, netplan.hasNetwork], [null, true])
})

function firmware(choice: FirmwareChoice, machine: 'bios' | 'uefi', ...paths: string[]) {
  const features = featuresOf('etc', ...paths)
  return chooseFirmware({ choice, machine, imageName: 'web', features })
}

test('chooseFirmware() is that of the machine, or what is asked for', () => {
  assert.equal(firmware('auto', 'bios', ...BIOS), 'bios')
  assert.equal(firmware('auto', 'uefi', ...BIOS, ...UEFI), 'uefi')
  assert.equal(firmware('both', 'bios', ...BIOS, ...UEFI), 'both')
  assert.equal(firmware('none', 'bios'), 'none')
})

test('chooseFirmware() lets an image without any boot loader pass, unless one is asked for', () => {
  assert.equal(firmware('auto', 'uefi'), 'none')
  assert.throws(() => firmware('uefi', 'uefi'), { code: 'ERR_SI_TARGET_UNSUITABLE' })
})

test('chooseFirmware() refuses an image for the other firmware, and says what would help', () => {
  assert.throws(() => firmware('auto', 'uefi', ...BIOS), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message:
      'Cannot deploy image "web": this machine boots by UEFI, but the image has no GRUB for UEFI',
    hint: 'Install grub-efi-amd64-bin on the golden client and capture it again, boot this machine by BIOS, or add --firmware none',
  })
  assert.throws(() => firmware('both', 'uefi', ...UEFI), /--firmware both.*no GRUB for BIOS/)
})

const LISTED = `BootCurrent: 0003
Timeout: 0 seconds
BootOrder: 0003,0000,0007
Boot0000* UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)
Boot0003* UEFI PXEv4 (MAC:525400123456)\tPciRoot(0x0)/MAC(525400123456,1)
Boot0007  debian
`

test('parseEfiEntries() reads numbers, labels, order and what was booted', () => {
  const entries = parseEfiEntries(LISTED)
  assert.equal(entries.current, '0003')
  assert.deepEqual(entries.order, ['0003', '0000', '0007'])
  assert.deepEqual(
    [...entries.labels],
    [
      ['0000', 'UiApp'],
      ['0003', 'UEFI PXEv4 (MAC:525400123456)'],
      ['0007', 'debian'],
    ],
  )
})

test('orderWith() puts a new entry behind the one that was booted, or first', () => {
  const entries = parseEfiEntries(LISTED)
  assert.deepEqual(orderWith(entries, ['0009']), ['0003', '0009', '0000', '0007'])
  assert.deepEqual(orderWith(entries, ['0007']), ['0003', '0007', '0000'])
  assert.deepEqual(orderWith({ ...entries, current: '0005' }, ['0009'])[0], '0009')
  assert.deepEqual(orderWith(parseEfiEntries(''), ['0009']), ['0009'])
})
