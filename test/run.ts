// Runs the tests stage by stage, cheap ones first, and stops after the first stage that fails.
// `node test/run.ts` runs all; `node test/run.ts unit swarm` only the unit tests whose path has
// "swarm" in it. With CI=true a skipped test is a failure: a check that did not happen is none.
import { globSync } from 'node:fs'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { runInGuest } from './lab/guest.ts'
import { withScope } from './lab/scope.ts'

interface Stage {
  readonly name: string
  readonly patterns: readonly string[]
  /** Test files that run at the same time; heavy stages would only disturb each other. */
  readonly concurrency: number
  /** Runs in a virtual machine, for what this machine's kernel may lack; see lab/guest.ts. */
  readonly isInGuest?: boolean
}

const STAGES: readonly Stage[] = [
  {
    name: 'unit',
    patterns: ['test/architecture.test.ts', 'test/unit/**/*.test.ts'],
    concurrency: 2,
  },
  { name: 'contract', patterns: ['test/contract/**/*.test.ts'], concurrency: 1 },
  { name: 'integration', patterns: ['test/integration/**/*.test.ts'], concurrency: 1 },
  { name: 'cli', patterns: ['test/cli/**/*.test.ts'], concurrency: 1 },
  { name: 'guest', patterns: ['test/guest/**/*.test.ts'], concurrency: 1, isInGuest: true },
  { name: 'e2e', patterns: ['test/e2e/**/*.test.ts'], concurrency: 1 },
]

/** A file that takes longer hangs; the slowest end-to-end file takes a few minutes. */
const FILE_TIMEOUT_MS = 20 * 60_000
/** Ends a guest that hangs before its own runner can say so. */
const GUEST_TIMEOUT_MS = 30 * 60_000

interface Totals {
  passed: number
  failed: number
  skipped: number
}

const root = join(import.meta.dirname, '..')
const isCi = process.env['CI'] === 'true'
const words = process.argv.slice(2)
const stageNames = STAGES.map((stage) => stage.name)
const stages = STAGES.filter(
  ({ name }) => words.includes(name) || !words.some((word) => stageNames.includes(word)),
)
const filters = words.filter((word) => !stageNames.includes(word))

async function runStage(stage: Stage, totals: Totals): Promise<void> {
  const files = stage.patterns
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .filter((file) => filters.every((filter) => file.includes(filter)))
    .sort()
    .map((file) => `${root}/${file}`)
  if (files.length === 0) return
  if (stage.isInGuest === true && process.env['SI_LAB_GUEST'] === undefined) {
    return runStageInGuest(stage, totals)
  }
  process.stdout.write(`\n── ${stage.name}: ${files.length} files\n`)
  const events = run({ files, concurrency: stage.concurrency, timeout: FILE_TIMEOUT_MS })
  events.on('test:summary', ({ file, counts }) => {
    if (file !== undefined) return // the summary without a file is that of the whole stage
    totals.passed += counts.passed
    totals.failed += counts.tests - counts.passed - counts.skipped - counts.todo
    totals.skipped += counts.skipped + counts.todo
  })
  events.on('test:pass', ({ name, skip, file }) => {
    if (skip === undefined) return
    const reason = typeof skip === 'string' ? `: ${skip}` : ''
    skips.push(`${relative(root, file ?? '')}: ${name}${reason}`)
  })
  for await (const text of events.compose(new spec())) process.stdout.write(String(text))
}

/** The same stage, run by this program in a guest; its last line has the totals. */
async function runStageInGuest(stage: Stage, totals: Totals): Promise<void> {
  if (process.getuid?.() !== 0) {
    skips.push(`stage ${stage.name}: needs root`)
    totals.skipped += 1
    return
  }
  process.stdout.write(`\n── ${stage.name}: starting a virtual machine\n`)
  let counts: RegExpExecArray | null = null
  const status = await withScope((scope) =>
    runInGuest(scope, {
      command: ['node', 'test/run.ts', stage.name, ...filters],
      deadlineMs: GUEST_TIMEOUT_MS,
      say: (text) => process.stdout.write(`${text}\n`),
      onLine: (line) => {
        counts = /^(\d+) passed, (\d+) failed, (\d+) skipped/.exec(line) ?? counts
        process.stdout.write(`${line}\n`)
      },
    }),
  )
  const [passed = 0, failed = 0, skipped = 0] = (counts ?? []).slice(1).map(Number)
  totals.passed += passed
  totals.failed += status !== 0 && failed + skipped === 0 ? 1 : failed
  totals.skipped += skipped
}

const totals: Totals = { passed: 0, failed: 0, skipped: 0 }
const skips: string[] = []
const startedMs = performance.now()
for (const stage of stages) {
  await runStage(stage, totals)
  if (totals.failed > 0 || (isCi && totals.skipped > 0)) break
}

for (const skip of skips) process.stdout.write(`skipped: ${skip}\n`)
const seconds = Math.round((performance.now() - startedMs) / 1000)
process.stdout.write(
  `\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped in ${seconds} s\n`,
)
if (isCi && totals.skipped > 0) process.stdout.write('With CI=true a skipped test is a failure\n')
if (totals.passed + totals.failed + totals.skipped === 0) {
  process.stdout.write(`No test matches: ${words.join(' ')}\n`)
}
const hasFailed = totals.failed > 0 || totals.passed === 0 || (isCi && totals.skipped > 0)
process.exit(hasFailed ? 1 : 0)
