// The order of requests that touch the same bytes, against a model: content as it is when all are carried
// out one after the other.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Turns, type Reach } from '../../../src/gridfs/server/turns.ts'

const LENGTH = 16
const FILES = ['a', 'b']

interface Step extends Reach {
  readonly isChange: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  file: fc.constantFrom(...FILES),
  isChange: fc.boolean(),
  start: fc.integer({ min: 0, max: LENGTH - 1 }),
  end: fc.oneof(fc.integer({ min: 1, max: LENGTH }), fc.constant(Infinity)),
})

/** Who changed each byte last. */
function bytesOf() {
  const content = new Map(FILES.map((file) => [file, new Array<number>(LENGTH).fill(-1)]))
  return {
    content,
    touch({ file, start, end, isChange }: Step, index: number) {
      if (isChange) content.get(file)?.fill(index, start, Math.min(end, LENGTH))
    },
  }
}

describe('Turns.take()', () => {
  test('lets requests for the same bytes go in the order of their arrival', async () => {
    const property = fc.asyncProperty(
      fc.array(step, { maxLength: 20 }),
      fc.scheduler(),
      async (steps, scheduler) => {
        const [expected, found] = [bytesOf(), bytesOf()]
        const turns = new Turns()
        const all = steps.map((one, index) =>
          turns.take(one.isChange ? { changes: one } : { reads: one }, async () => {
            await scheduler.schedule(Promise.resolve())
            found.touch(one, index)
          }),
        )
        await scheduler.waitFor(Promise.all(all))
        steps.forEach((one, index) => expected.touch(one, index))
        assert.deepEqual(found.content, expected.content)
        assert.equal(turns.size, 0)
      },
    )
    await fc.assert(property, { seed: 1, numRuns: 300 })
  })

  test('begins at once what nothing stands in the way of', () => {
    const turns = new Turns()
    const begun: string[] = []
    const never = new Promise<void>(() => {})
    const take = (name: string, touched: Parameters<Turns['take']>[0]) =>
      void turns.take(touched, () => {
        begun.push(name)
        return never
      })
    take('write', { changes: { file: 'a', start: 0, end: 10 } })
    take('write behind it', { changes: { file: 'a', start: 10, end: 20 } })
    take('write there', { changes: { file: 'a', start: 19, end: 21 } })
    take('read of another file', { reads: { file: 'b', start: 0, end: Infinity } })
    take('read there', { reads: { file: 'a', start: 5, end: 6 } })
    take('nothing', {})
    assert.deepEqual(begun, ['write', 'write behind it', 'read of another file', 'nothing'])
  })

  test('goes on behind work that has failed', async () => {
    const turns = new Turns()
    const all = { changes: { file: 'a', start: 0, end: Infinity } }
    const failing = turns.take(all, () => Promise.reject(new Error('no space')))
    const next = turns.take(all, () => Promise.resolve('done'))
    await assert.rejects(failing, /no space/)
    assert.equal(await next, 'done')
    assert.equal(turns.size, 0)
  })

  test('has readers see all that was changed before', async () => {
    const turns = new Turns()
    const seen: string[] = []
    const gate = Promise.withResolvers<void>()
    const write = turns.take({ changes: { file: 'a', start: 0, end: 4 } }, async () => {
      await gate.promise
      seen.push('written')
    })
    const read = turns.take({ reads: { file: 'a', start: 3, end: 9 } }, () => {
      seen.push('read')
      return Promise.resolve()
    })
    gate.resolve()
    await Promise.all([write, read])
    assert.deepEqual(seen, ['written', 'read'])
  })
})
