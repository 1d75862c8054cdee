// Decisions of a machine that nobody watches: disk, clock, network card, what DHCP says, when to try again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseDisk } from '../../../src/netboot/node/choose-disk.ts'
import { timeToSet } from '../../../src/netboot/node/clock.ts'
import { overridesOf } from '../../../src/netboot/node/install.ts'
import { chooseCards, parseLease } from '../../../src/netboot/node/network.ts'
import { parseParameters } from '../../../src/netboot/netboot.ts'

const disk = (path: string) => ({
  ...{ path, sizeBytes: 2 ** 30, model: 'QEMU', serial: '', transport: 'virtio' },
  ...{ isRemovable: false, isReadOnly: false, ids: [] },
})

test('chooseDisk() takes the only one', () => {
  assert.equal(chooseDisk(undefined, [disk('/dev/vda')]), '/dev/vda')
})

test('chooseDisk() takes the named one whatever else there is', () => {
  assert.equal(chooseDisk('/dev/sdb', [disk('/dev/sda'), disk('/dev/sdb')]), '/dev/sdb')
})

test('chooseDisk() names the disks that it cannot choose among', () => {
  assert.throws(() => chooseDisk(undefined, [disk('/dev/sda'), disk('/dev/sdb')]), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: 'Cannot choose among 2 disks: /dev/sda 1.0 GiB QEMU, /dev/sdb 1.0 GiB QEMU',
  })
})

test('chooseDisk() takes neither a removable disk nor one that cannot be written to', () => {
  const others = [
    { ...disk('/dev/sdb'), isRemovable: true },
    { ...disk('/dev/sdc'), isReadOnly: true },
  ]
  assert.equal(chooseDisk(undefined, [...others, disk('/dev/vda')]), '/dev/vda')
  assert.throws(() => chooseDisk(undefined, others), /this machine has no disk/)
})

test('chooseDisk() says that there is none', () => {
  assert.throws(() => chooseDisk(undefined, []), /this machine has no disk/)
})

test("timeToSet() takes the server's time when ours is off", () => {
  assert.equal(timeToSet({ serverMs: 5_000_000, ownMs: 0, madeMs: 0 }), 5_000_000)
  assert.equal(timeToSet({ serverMs: 5_000_000, ownMs: 4_990_000, madeMs: 0 }), undefined)
})

test('timeToSet() never goes to before the initramfs was made', () => {
  assert.equal(timeToSet({ serverMs: 1_000_000, ownMs: 9_000_000, madeMs: 8_000_000 }), 8_000_000)
  assert.equal(timeToSet({ serverMs: undefined, ownMs: 0, madeMs: 8_000_000 }), 8_000_000)
})

const card = (name: string, mac: string) => ({ name, mac, isConnected: true })
const CARDS = [card('eth0', '52:54:00:00:00:01'), card('eth1', '52:54:00:00:00:02')]
const parametersOf = (line: string) => parseParameters({ commandLine: line }).parameters

test('chooseCards() begins with the card that the machine was booted from', () => {
  const chosen = chooseCards(CARDS, { parameters: parametersOf(''), bootMac: '52:54:00:00:00:02' })
  assert.deepEqual(
    chosen.map(({ name }) => name),
    ['eth1', 'eth0'],
  )
})

test('chooseCards() takes the named card alone, and says what there is instead', () => {
  const named = { parameters: parametersOf('si.interface=52:54:00:00:00:01'), bootMac: undefined }
  assert.deepEqual(
    chooseCards(CARDS, named).map(({ name }) => name),
    ['eth0'],
  )
  const missing = { parameters: parametersOf('si.interface=eth7'), bootMac: undefined }
  assert.throws(() => chooseCards(CARDS, missing), /No network card eth7.*there are eth0 \(52:/)
})

test('parseLease() leaves out what is no address', () => {
  const lease = parseLease(
    'ip=10.0.0.7\nmask=16\nrouter=10.0.0.1 10.0.0.2\ndns=10.0.0.1 $(reboot)\nhostname=a;b\n',
  )
  assert.deepEqual(lease, {
    ...{ address: '10.0.0.7/16', gateway: '10.0.0.1', nameServers: ['10.0.0.1'] },
    ...{ domain: '', hostName: undefined },
  })
})

test('overridesOf() expects of each torrent the override that was ordered', () => {
  const orders = {
    overrides: ['override-all', 'override-web/3'],
    overrideTorrents: ['http://s/a.torrent', 'http://s/b.torrent'],
  }
  assert.deepEqual(overridesOf(orders), [
    { torrent: 'http://s/a.torrent', expect: { name: 'override-all', version: undefined } },
    { torrent: 'http://s/b.torrent', expect: { name: 'override-web', version: '3' } },
  ])
  assert.deepEqual(overridesOf(undefined), [])
})

test('overridesOf() names the override that the server does not have', () => {
  const orders = { overrides: ['override-web'], overrideTorrents: [null] }
  assert.throws(() => overridesOf(orders), {
    code: 'ERR_SI_CONFIGURATION',
    message: 'The server orders override-web, and has no such image',
  })
})
