import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networkSchema } from '../../../../src/deploy/deploy.ts'

const CARD = { mac: '52-54-00-AB-CD-EF', addresses: 'dhcp' }

function faultOf(change: object): string | undefined {
  const result = networkSchema.safeParse({ interfaces: [{ ...CARD, ...change }] })
  return result.error?.issues[0]?.message
}

test('networkSchema fills in what may be left out, and writes MAC addresses in one way', () => {
  assert.deepEqual(networkSchema.parse({ interfaces: [CARD] }), {
    interfaces: [
      { mac: '52:54:00:ab:cd:ef', addresses: 'dhcp', nameServers: [], searchDomains: [] },
    ],
  })
})

test('networkSchema takes addresses of both families', () => {
  const addresses = ['10.0.0.5/24', 'fd00::5/64']
  assert.equal(faultOf({ addresses, gateway: 'fd00::1', nameServers: ['10.0.0.1'] }), undefined)
})

test('networkSchema rejects what a configuration file would misread', () => {
  assert.match(faultOf({ mac: '52:54:00:ab:cd' }) ?? '', /no MAC address/)
  assert.match(faultOf({ name: 'eth0\niface lo' }) ?? '', /no name of a network interface/)
  assert.match(faultOf({ gateway: '10.0.0' }) ?? '', /no IP address/)
  assert.match(faultOf({ searchDomains: ['a b'] }) ?? '', /no domain/)
  assert.match(faultOf({ mac: undefined }) ?? '', /needs a name or a mac/)
  assert.notEqual(faultOf({ addresses: ['10.0.0.5/33'] }), undefined)
  assert.notEqual(faultOf({ addresses: ['10.0.0.5'] }), undefined)
  assert.notEqual(faultOf({ addresses: [] }), undefined)
})
