// Which versions stay: exact cases, and what holds for any versions and rules.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { parseImageVersion } from '../../../src/repository/names.ts'
import { planRetention, type DatedVersion } from '../../../src/repository/retention.ts'

const at = (version: string, createdAt: string): DatedVersion => ({
  version: parseImageVersion(version),
  createdAt: new Date(createdAt),
})

/** 2026-11-16 is a Monday. */
const VERSIONS = [
  at('a', '2026-11-15T23:59:59Z'),
  at('b', '2026-11-16T00:00:00Z'),
  at('c', '2026-11-16T12:00:00Z'),
  at('d', '2026-11-20T12:00:00Z'),
  at('e', '2026-11-20T13:00:00Z'),
]

test('planRetention() keeps the newest by time, not by place', () => {
  const kept = planRetention(VERSIONS.toReversed(), { last: 2 })
  assert.deepEqual([...kept.keys()].sort(), ['d', 'e'])
})

test('planRetention() keeps the newest of each day that has any, days without do not count', () => {
  const kept = planRetention(VERSIONS, { daily: 2 })
  assert.deepEqual([...kept.keys()].sort(), ['c', 'e'])
})

test('planRetention() begins weeks on Monday, in UTC', () => {
  const kept = planRetention(VERSIONS, { weekly: 2 })
  assert.deepEqual([...kept.keys()].sort(), ['a', 'e'])
})

test('planRetention() adds rules up and says which keep a version', () => {
  const kept = planRetention(VERSIONS, { last: 1, daily: 1, weekly: 2 })
  assert.deepEqual(Object.fromEntries(kept), { a: ['weekly'], e: ['last', 'daily', 'weekly'] })
})

test('planRetention() keeps nothing without a rule', () => {
  assert.equal(planRetention(VERSIONS, {}).size, 0)
})

const versionsArbitrary = fc
  .array(fc.integer({ min: 0, max: 400 * 24 }), { maxLength: 60 })
  .map((hours) =>
    hours.map((hour, index) => at(`v${index}`, new Date(Date.UTC(2025, 0, 1, hour)).toISOString())),
  )
const count = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined })

test('planRetention() keeps as many periods as there are and not more than a rule says', () => {
  fc.assert(
    fc.property(versionsArbitrary, count, count, count, (versions, last, daily, weekly) => {
      const kept = planRetention(versions, { last, daily, weekly })
      const keptBy = (reason: 'last' | 'daily' | 'weekly') =>
        versions.filter(({ version }) => kept.get(version)?.includes(reason))
      const day = ({ createdAt }: DatedVersion) => Math.floor(createdAt.getTime() / 86_400_000)
      const days = new Set(versions.map(day))
      assert.equal(keptBy('last').length, Math.min(last ?? 0, versions.length))
      assert.equal(keptBy('daily').length, Math.min(daily ?? 0, days.size))
      assert.equal(new Set(keptBy('daily').map(day)).size, keptBy('daily').length)
      assert.ok(keptBy('weekly').length <= (weekly ?? 0))
      const newestMs = Math.max(...versions.map(({ createdAt }) => createdAt.getTime()))
      for (const reason of ['last', 'daily', 'weekly'] as const) {
        const own = keptBy(reason).map(({ createdAt }) => createdAt.getTime())
        if (own.length > 0) assert.ok(own.includes(newestMs))
      }
    }),
  )
})

test('planRetention() applied again to what it kept removes nothing more', () => {
  fc.assert(
    fc.property(versionsArbitrary, count, count, count, (versions, last, daily, weekly) => {
      const rules = { last, daily, weekly }
      const kept = planRetention(versions, rules)
      const left = versions.filter(({ version }) => kept.has(version))
      assert.deepEqual(planRetention(left, rules), kept)
    }),
  )
})
