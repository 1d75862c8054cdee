import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCommandProgress, formatProgress } from '../../../src/cli/command-progress.ts'
import type { Io } from '../../../src/cli/io.ts'
import type { Clock } from '../../../src/core/core.ts'

function createFixture(isTTY: boolean, json = false) {
  let nowMs = 0
  const written = { stdout: '', stderr: '' }
  const clock: Clock = {
    monotonicMs: () => nowMs,
    now: () => new Date(0),
    schedule: () => () => {},
  }
  const io: Io = {
    stdout: { write: (text) => (written.stdout += text) },
    stderr: { write: (text) => (written.stderr += text), isTTY, columns: 100 },
    stdin: undefined,
    ask: undefined,
    signal: new AbortController().signal,
    onHangUp: () => {},
  }
  const progress = createCommandProgress(io, { command: 'si-x', json, clock })
  const advance = (ms: number) => (nowMs += ms)
  return { progress, written, advance }
}

test('formatProgress() shows amount, share, rate and remaining time', () => {
  const update = { phase: 'writing', doneBytes: 50 * 2 ** 20, totalBytes: 100 * 2 ** 20 }
  assert.equal(
    formatProgress({ ...update, detail: '4 peers' }, 10 * 2 ** 20),
    'writing 50.0 MiB of 100.0 MiB (50 %), 10.0 MiB/s, 5.0 s left, 4 peers',
  )
})

test('formatProgress() keeps 100 % for the end when the estimate was too small', () => {
  const text = formatProgress({ phase: 'capturing', doneBytes: 120, totalBytes: 100 }, 0)
  assert.equal(text, 'capturing 120 B of 100 B (99 %)')
})

test('progress without a terminal writes a line at a new phase and every 10 s', () => {
  const { progress, written, advance } = createFixture(false)
  for (let second = 0; second < 21; second++) {
    progress.update({ phase: 'writing', doneBytes: second * 1000, totalBytes: 21_000 })
    advance(1000)
  }
  assert.equal(written.stderr.trimEnd().split('\n').length, 3)
  assert.ok(!written.stderr.includes('\x1b'))
})

test('progress without a terminal writes a line at each step of a phase that counts nothing', () => {
  const { progress, written } = createFixture(false)
  for (const detail of ['fstab', 'fstab', 'initramfs', 'boot loader']) {
    progress.update({ phase: 'finishing', doneBytes: 0, totalBytes: undefined, detail })
  }
  const lines = ['fstab', 'initramfs', 'boot loader'].map((step) => `si-x: finishing, ${step}\n`)
  assert.equal(written.stderr, lines.join(''))
})

test('progress on a terminal redraws one line and clears it for a note', () => {
  const { progress, written } = createFixture(true)
  progress.update({ phase: 'writing', doneBytes: 1, totalBytes: 2 })
  progress.note('tracker is back')
  assert.match(written.stderr, /^\r\[#+\.+\] writing .*\x1b\[K\r\x1b\[Ksi-x: tracker is back\n$/)
})

test('progress with --json writes JSON lines to stdout and none more often than every second', () => {
  const { progress, written, advance } = createFixture(true, true)
  progress.update({ phase: 'writing', doneBytes: 0, totalBytes: 10 })
  advance(999)
  progress.update({ phase: 'writing', doneBytes: 5, totalBytes: 10 })
  advance(1)
  progress.update({ phase: 'writing', doneBytes: 6, totalBytes: 10 })
  const lines = written.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  assert.deepEqual(
    lines.map((line) => ('doneBytes' in line ? line.doneBytes : undefined)),
    [0, 6],
  )
})
