import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseVolumeGroups } from '../../../src/host/host.ts'

test('parseVolumeGroups() tells groups of one name apart, and leaves out missing members', () => {
  const row = (vg_uuid: string, pv_name: string) => ({ vg_uuid, vg_name: 'web', pv_name })
  const vg = [row('a', '/dev/sda2'), row('b', '/dev/sdc'), row('a', '[unknown]')]
  assert.deepEqual(parseVolumeGroups(JSON.stringify({ report: [{ vg }] })), [
    { name: 'web', physicalVolumes: ['/dev/sda2'] },
    { name: 'web', physicalVolumes: ['/dev/sdc'] },
  ])
  assert.deepEqual(parseVolumeGroups('{"report":[{"vg":[]}]}'), [])
})
