import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import * as z from 'zod'
import { closedObject, parseConfiguration } from '../../../src/config/config.ts'
import { SiError } from '../../../src/core/core.ts'

const schema = closedObject({
  image: z.string().optional(),
  hosts: z.record(z.string(), closedObject({ mac: z.string().optional() })).optional(),
  list: z.array(z.string().regex(/^[a-z]+$/, 'must be letters')).optional(),
})

const parse = (text: string) =>
  parseConfiguration(text, { file: 'x.yaml', schema, scalars: 'text' })

function faultOf(text: string): string {
  try {
    parse(text)
  } catch (error) {
    assert.ok(error instanceof SiError)
    assert.equal(error.code, 'ERR_SI_CONFIGURATION')
    return error.message
  }
  assert.fail('it was accepted')
}

test('parseConfiguration() names an unknown key with its line and the nearest known one', () => {
  assert.equal(
    faultOf('image: a\nhosts:\n  web:\n    mak: x\n'),
    'Cannot use x.yaml: line 4: unknown key "mak": did you mean "mac"?',
  )
})

test('parseConfiguration() lists the known keys where none is near', () => {
  assert.match(faultOf('colour: red\n'), /line 1: unknown key "colour": known are image, hosts/)
})

test('parseConfiguration() tells all faults at once, by line', () => {
  assert.equal(
    faultOf('list:\n  - a\n  - 7\n  - b\nimgae: x\n'),
    'Cannot use x.yaml:\n  line 3: list: must be letters\n  line 5: unknown key "imgae": did you mean "image"?',
  )
})

test('parseConfiguration() refuses a key that stands twice', () => {
  assert.match(faultOf('image: a\nimage: b\n'), /line 2: .*unique/)
})

test('parseConfiguration() refuses aliases that grow without bound', () => {
  const bomb = ['a0: &a0 [x,x,x,x,x,x,x,x,x]']
  for (let level = 1; level < 9; level++) {
    bomb.push(
      `a${level}: &a${level} [${Array(9)
        .fill(`*a${level - 1}`)
        .join(',')}]`,
    )
  }
  assert.match(faultOf(bomb.join('\n')), /alias/i)
})

test('parseConfiguration() leaves values as they are written where asked to', () => {
  assert.equal(parse('image: 007').value.image, '007')
  assert.equal(parse('image: no').value.image, 'no')
})

test('fault() points at the line of a value', () => {
  const configuration = parse('hosts:\n  a:\n    mac: x\n  b:\n    mac: y\n')
  const error = configuration.fault(['hosts', 'b', 'mac'], 'is wrong', 'Do this')
  assert.equal(error.message, 'Cannot use x.yaml: line 5: is wrong')
  assert.equal(error.hint, 'Do this')
})

test('parseConfiguration() ends with a value or a SiError, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      try {
        parse(text)
      } catch (error) {
        assert.ok(error instanceof SiError, String(error))
      }
    }),
    { numRuns: 500 },
  )
})
