// Other people's programs and our swarm: each downloads from us and seeds to us, and all of them with three
// nodes of ours complete what none of them had. Several cases at once: most of their time is waiting.
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { isSiError } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import { FOREIGN_CLIENTS } from '../lab/foreign/foreign-clients.ts'
import { inOwnNetwork } from '../lab/own-network.ts'

const isCi = process.env['CI'] === 'true'
const skip = process.getuid?.() === 0 || isCi ? false : 'needs root'
const OPTIONS = { skip, timeout: 90_000 }
const SCRIPT = join(import.meta.dirname, 'interop-case.ts')

/** One case, in a process and a network of its own. A missing program is no failure but in CI. */
async function runCase(context: TestContext, ...args: readonly string[]): Promise<void> {
  try {
    for (const client of FOREIGN_CLIENTS) await client.requireInstalled()
  } catch (error) {
    if (isCi || !isSiError(error, 'ERR_SI_PROGRAM_MISSING')) throw error
    return context.skip(error.message)
  }
  const [program, all] = inOwnNetwork([process.execPath, SCRIPT, ...args])
  await run(program, all, { signal: context.signal })
}

describe('interoperability', { concurrency: 3 }, () => {
  for (const { name } of FOREIGN_CLIENTS) {
    test(`${name} downloads from our seeder`, OPTIONS, (context) => runCase(context, 'gets', name))
    test(`our node downloads from ${name}`, OPTIONS, (context) => runCase(context, 'seeds', name))
  }
  test('a swarm of five foreign clients and three of our nodes completes', OPTIONS, (context) =>
    runCase(context, 'swarm'),
  )
})
