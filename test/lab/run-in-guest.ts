// `npm run guest -- COMMAND …` runs a command in a virtual machine; see guest.ts. Ends as the command.
import { messageOf } from '../../src/core/core.ts'
import { runInGuest } from './guest.ts'
import { withScope } from './scope.ts'

const DEADLINE_MS = 60 * 60_000
const command = process.argv.slice(2)

if (command.length === 0) {
  process.stderr.write('usage: npm run guest -- COMMAND …, such as: node test/run.ts unit tar\n')
  process.exitCode = 2
} else {
  try {
    process.exitCode = await withScope((scope) =>
      runInGuest(scope, {
        command,
        deadlineMs: DEADLINE_MS,
        onLine: (line) => process.stdout.write(`${line}\n`),
        say: (text) => process.stderr.write(`${text}\n`),
      }),
    )
  } catch (error) {
    process.stderr.write(`error: ${messageOf(error)}\n`)
    process.exitCode = 1
  }
}
