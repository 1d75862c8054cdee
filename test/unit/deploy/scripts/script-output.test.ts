// Output of scripts as lines for people, and as it is kept.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createScriptOutput } from '../../../../src/deploy/scripts/script-output.ts'

function outputOf(parts: readonly Uint8Array[]) {
  const lines: string[] = []
  const output = createScriptOutput((line) => lines.push(line))
  for (const part of parts) output.add(Buffer.from(part))
  output.end()
  return { output, lines }
}

const linesOf = (text: string) => outputOf([Buffer.from(text)]).lines

test('createScriptOutput() tells the same lines however the output is cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(), (text, at) => {
      const bytes = Buffer.from(text)
      const cut = bytes.length === 0 ? 0 : at % bytes.length
      const { lines, output } = outputOf([bytes.subarray(0, cut), bytes.subarray(cut)])
      assert.deepEqual(lines, linesOf(text))
      assert.equal(output.kept().replace(/\n$/, ''), bytes.toString().replace(/\n$/, ''))
    }),
  )
})

test('createScriptOutput() leaves out what would steer a terminal, and empty lines', () => {
  assert.deepEqual(linesOf('\x1b[1;31mred\x1b[0m\x07\n\n\x1b]0;title\x07\n10%\r20%\r\n\ta\tb\n'), [
    'red',
    '20%',
    ' a b',
  ])
})

test('createScriptOutput() tells a last line without an end', () => {
  assert.deepEqual(linesOf('one\ntwo'), ['one', 'two'])
})

test('createScriptOutput() knows the last lines', () => {
  const { output } = outputOf([Buffer.from('1\n2\n3\n4\n\n5')])
  assert.deepEqual(output.lastLines(3), ['3', '4', '5'])
})

test('createScriptOutput() keeps the end of more than 4 MiB, and says how much is missing', () => {
  const part = Buffer.alloc(2 ** 20, 'x')
  const { output } = outputOf([...Array.from({ length: 9 }, () => part), Buffer.from('end\n')])
  const kept = output.kept()
  assert.match(kept, /^\[\d+ bytes before this are left out\]\nx/)
  assert.ok(kept.endsWith('xend\n'))
  const left = Number(/\d+/.exec(kept)?.[0])
  assert.equal(left + kept.length - kept.indexOf('\n') - 1, 9 * 2 ** 20 + 4)
  assert.ok(kept.length < 5 * 2 ** 20)
})

test('createScriptOutput() bounds a line that never ends', () => {
  const { lines } = outputOf(Array.from({ length: 64 }, () => Buffer.alloc(2 ** 16, 'y')))
  assert.deepEqual(
    lines.map(({ length }) => length),
    [1000],
  )
})
