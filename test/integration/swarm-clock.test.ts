// Clocks that jump: somebody sets the time, a machine sleeps and wakes. Whatever was timed goes wrong at
// once, and the download completes all the same.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock, type Clock } from '../../src/core/core.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, startTracker, until, within } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }
const HOUR_MS = 3_600_000
const YEAR_MS = 365 * 24 * HOUR_MS
const CONTENT = { sizeBytes: 8 * 2 ** 20, pieceLengthBytes: 2 ** 17 }
/** So that the jump comes before the end. */
const SLOWLY = { worker: { delayMs: 15 } }

/** The system's clock, set forward or back while it runs. Timers fire when they are due at once. */
class JumpingClock implements Clock {
  #monotonicMs = 0
  #wallMs = 0
  readonly #timers = new Set<() => void>()

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#monotonicMs
  }

  now(): Date {
    return new Date(systemClock.now().getTime() + this.#wallMs)
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const fire = () => {
      cancel()
      callback()
    }
    const cancelTimer = systemClock.schedule(delayMs, fire)
    const cancel = () => {
      cancelTimer()
      this.#timers.delete(fire)
    }
    this.#timers.add(fire)
    return cancel
  }

  setWallClock(byMs: number): void {
    this.#wallMs += byMs
  }

  /** The machine sleeps for so long: when it wakes, all its timers are over. */
  sleep(ms: number): void {
    this.#monotonicMs += ms
    this.#wallMs += ms
    for (const fire of [...this.#timers]) fire()
  }
}

test('swarm: a wall clock set by years, forward and back, changes nothing', LIMIT, async () => {
  await using lab = await createLab(CONTENT)
  const clock = new JumpingClock()
  await using seeder = await lab.seed({ clock })
  await using getter = await lab.get({ clock, peers: [seeder.address], ...SLOWLY })
  const { torrent } = getter
  await until(() => torrent.stats().piecesHave > 4, 'the first pieces')
  clock.setWallClock(20 * YEAR_MS)
  await until(() => torrent.stats().piecesHave > 12, 'more pieces')
  clock.setWallClock(-50 * YEAR_MS)
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  assert.equal(torrent.stats().wastedBytes, 0)
  assert.deepEqual(getter.notes, [])
})

for (const sleeper of ['seeder', 'getter'] as const) {
  test(`swarm: a ${sleeper} that slept for an hour goes on where it was`, LIMIT, async () => {
    await using lab = await createLab(CONTENT)
    const clock = new JumpingClock()
    const clockOf = (name: typeof sleeper) => (name === sleeper ? { clock } : {})
    await using tracker = await startTracker()
    const trackers = [[tracker.url]]
    await using seeder = await lab.seed({ trackers, ...clockOf('seeder') })
    await using getter = await lab.get({ trackers, ...SLOWLY, ...clockOf('getter') })
    const { torrent } = getter
    await until(() => torrent.stats().piecesHave > 8, 'the first pieces')
    const before = torrent.stats().piecesHave
    clock.sleep(HOUR_MS)
    await within(getter.done, 'download')
    assert.ok(before < lab.metainfo.pieceCount, 'it slept before the end')
    assert.ok((await getter.file()).equals(lab.content))
    assert.ok(seeder.torrent.stats().uploadedBytes >= lab.content.length)
  })
}

test('swarm: a getter that sleeps again and again completes', LIMIT, async () => {
  await using lab = await createLab(CONTENT)
  const clock = new JumpingClock()
  await using seeder = await lab.seed()
  await using getter = await lab.get({ clock, peers: [seeder.address], ...SLOWLY })
  for (const share of [0.1, 0.3, 0.5, 0.7]) {
    const { pieceCount } = lab.metainfo
    await until(() => getter.torrent.stats().piecesHave >= share * pieceCount, `${share}`)
    clock.sleep(HOUR_MS)
  }
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
})
