import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { askOnTerminal } from '../../../src/cli/ask.ts'
import { isSiError } from '../../../src/core/core.ts'

function createTerminal() {
  return { input: new PassThrough(), output: new PassThrough() }
}

const never = new AbortController().signal

test('askOnTerminal() returns the line that was typed', async () => {
  const terminal = createTerminal()
  const answer = askOnTerminal(terminal, 'Type it: ', never)
  terminal.input.write('/dev/sda\r')
  assert.equal(await answer, '/dev/sda')
})

for (const [name, key] of [
  ['Ctrl-C', '\x03'],
  ['Ctrl-D', '\x04'],
] as const) {
  test(`askOnTerminal() is interrupted by ${name}`, async () => {
    const terminal = createTerminal()
    const answer = askOnTerminal(terminal, 'Type it: ', never)
    terminal.input.write(key)
    await assert.rejects(answer, (error) => isSiError(error, 'ERR_SI_ABORTED'))
  })
}

test('askOnTerminal() ends with the signal', async () => {
  const controller = new AbortController()
  const answer = askOnTerminal(createTerminal(), 'Type it: ', controller.signal)
  controller.abort()
  await assert.rejects(answer, (error) => isSiError(error, 'ERR_SI_ABORTED'))
})
