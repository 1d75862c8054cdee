// What an administrator hears of those who were not let in.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SiError } from '../../../../src/core/core.ts'
import { Refusals } from '../../../../src/swarm/connection/refusals.ts'
import { fakeClock } from '../../../lab/fake-clock.ts'

const FAULT = new SiError('ERR_SI_UNTRUSTED', 'it shows no certificate')

function listen() {
  const notes: string[] = []
  const clock = fakeClock()
  const refusals = new Refusals('peer', { clock, onNote: (text) => notes.push(text) })
  return { notes, clock, refusals }
}

test('Refusals name address and reason, the same of one host once a minute', async () => {
  const { notes, clock, refusals } = listen()
  for (const port of [1, 2, 3]) refusals.add(`10.0.0.1:${port}`, FAULT)
  refusals.add('10.0.0.2:1', FAULT)
  const line = (address: string) => `Refused peer ${address}: it shows no certificate`
  assert.deepEqual(notes, [line('10.0.0.1:1'), line('10.0.0.2:1')])
  await clock.advance(60_001)
  refusals.add('10.0.0.1:4', FAULT)
  assert.equal(notes.at(-1), line('10.0.0.1:4'))
})

test('Refusals are bounded, however many hosts knock', () => {
  const { notes, refusals } = listen()
  for (let host = 0; host < 1000; host++) refusals.add(`10.0.${host >> 8}.${host & 255}:1`, FAULT)
  assert.equal(notes.length, 33)
  assert.match(notes.at(-1) ?? '', /named again in a minute/)
})

test('Refusals pass over connections that failed for other reasons', () => {
  const { notes, refusals } = listen()
  refusals.add('10.0.0.1:1', new Error('read ECONNRESET'))
  assert.deepEqual(notes, [])
})
