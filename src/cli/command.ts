// What all commands have in common: examples before the options, exit statuses after them.
import { Command } from 'commander'
import { exitCodeHelp, type ExitCode } from './exit-code.ts'

/** What a command's action reports back; commander has no return values. */
export interface Outcome {
  exitCode: ExitCode
}

export function createCommand(description: {
  readonly name: string
  readonly summary: string
  readonly examples: readonly string[]
  readonly exitCodes: readonly ExitCode[]
}): Command {
  const examples = description.examples.map((example) => `  ${example}`).join('\n')
  return new Command(description.name)
    .description(description.summary)
    .addHelpText('before', `Examples:\n${examples}\n`)
    .addHelpText('after', exitCodeHelp(description.exitCodes))
}
