// An image of a million entries: its memory, while it is written and before it is deployed.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { withScope } from '../lab/scope.ts'

const CHILD = join(import.meta.dirname, 'many-entries-child.ts')
const ENTRIES = 1_000_000
const MIB = 2 ** 20
/** Measured: 320 and 300, of which Node itself takes 60. Objects for all entries would take more than a thousand. */
const BOUNDS_BYTES = { write: 500 * MIB, load: 500 * MIB }

test('an image of 10^6 entries is written and loaded in bounded memory', { timeout: 280_000 }, () =>
  withScope(async (scope) => {
    for (const work of ['write', 'load'] as const) {
      const args = [CHILD, work, scope.directory, String(ENTRIES)]
      const { stdout } = await run(process.execPath, args, { signal: scope.signal })
      const { count, peakRssBytes } = JSON.parse(stdout) as { count: number; peakRssBytes: number }
      assert.equal(count, ENTRIES)
      const [measured, bound] = [peakRssBytes, BOUNDS_BYTES[work]].map((b) => Math.round(b / MIB))
      assert.ok(peakRssBytes < BOUNDS_BYTES[work], `${work}: ${measured} MiB, bound ${bound} MiB`)
    }
  }),
)
