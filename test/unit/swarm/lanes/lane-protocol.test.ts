// What is written on one side is called on the other, whatever it is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError, SiError } from '../../../../src/core/core.ts'
import { BatchReader, BatchWriter } from '../../../../src/swarm/lanes/lane-batch.ts'
import {
  commandWriter,
  eventWriter,
  readCommands,
  readEvents,
  writeAdopt,
  writeHeard,
  writeMark,
  type LinkCommands,
  type LinkEvents,
} from '../../../../src/swarm/lanes/lane-protocol.ts'
import { parseInfoHash } from '../../../../src/torrent/torrent.ts'

type Call = readonly [name: string, ...args: unknown[]]

/** Writes down every call; bytes are copied, as they are valid during the call only. */
function recorder<T extends object>(calls: Call[]): T {
  const copy = (value: unknown) => (value instanceof Uint8Array ? [...value] : value)
  return new Proxy({} as T, {
    get:
      (_target, name) =>
      (...args: unknown[]) =>
        calls.push([String(name), ...args.map(copy)]),
  })
}

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true })
const word = fc.nat({ max: 2 ** 32 - 1 })
const bytes = fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array))
const range = record({ pieceIndex: word, offsetBytes: word, lengthBytes: word })
const part = record({
  head: fc.option(range, { nil: undefined }),
  fromBytes: word,
  lengthBytes: word,
})

const span = record({
  fd: word,
  positionBytes: fc.maxSafeNat(),
  lengthBytes: word,
  isMemory: fc.boolean(),
})

/** One call of each kind of command or event. */
function calls<T extends object>(arbitraries: {
  readonly [Name in keyof T]: fc.Arbitrary<readonly unknown[]>
}): fc.Arbitrary<readonly Call[]> {
  const one = Object.entries(arbitraries).map(([name, args]) =>
    (args as fc.Arbitrary<readonly unknown[]>).map((values): Call => [name, ...values]),
  )
  return fc.array(fc.oneof(...one), { maxLength: 30 })
}

const COMMANDS = calls<LinkCommands>({
  start: fc.tuple(word, record({ maxControlBytes: word, maxPayloadBytes: word })),
  write: fc.tuple(bytes),
  request: fc.tuple(range, fc.option(record({ slot: word, generation: word }), { nil: undefined })),
  sendPayload: fc.tuple(word, fc.array(part, { maxLength: 5 }), fc.boolean()),
  sendFiles: fc.tuple(
    fc.option(range, { nil: undefined }),
    fc.array(span, { maxLength: 5 }),
    fc.boolean(),
  ),
  letIn: fc.constant([]),
  close: fc.constant([]),
})

const EVENTS = calls<LinkEvents>({
  onCertificates: fc.tuple(fc.array(bytes, { maxLength: 3 })),
  onHandshake: fc.tuple(bytes),
  onEncodedMessage: fc.tuple(bytes),
  onPayloadBegin: fc.tuple(range, fc.boolean()),
  onBlocks: fc.tuple(record({ pieceIndex: word, generation: word, first: word, end: word })),
  onPayload: fc.tuple(record({ bytes: word, usedBytes: word, wastedBytes: word })),
  onPayloadEnd: fc.constant([]),
  onSent: fc.constant([undefined]),
  onClosed: fc.constant([undefined]),
})

function replay(target: object, list: readonly Call[]): void {
  for (const [name, ...args] of list) {
    const method = (target as Record<string, (...args: unknown[]) => unknown>)[name]
    assert.ok(method, name)
    method(...args)
  }
}

test('readCommands() calls what commandWriter() wrote, in order', () => {
  fc.assert(
    fc.property(COMMANDS, (list) => {
      const batch = new BatchWriter()
      replay(commandWriter(batch, 7), list)
      const [seen, expected]: [Call[], Call[]] = [[], []]
      const unexpected = () => assert.fail('no such command was written')
      readCommands(batch.take(), {
        ...{ adopt: unexpected, heard: unexpected },
        find(id) {
          assert.equal(id, 7)
          return recorder<LinkCommands>(seen)
        },
      })
      replay(recorder(expected), list)
      assert.deepEqual(seen, expected)
    }),
  )
})

test('readEvents() calls what eventWriter() wrote, in order', () => {
  fc.assert(
    fc.property(EVENTS, (list) => {
      const batch = new BatchWriter()
      replay(eventWriter(batch, 2 ** 32 - 1), list)
      const [seen, expected]: [Call[], Call[]] = [[], []]
      readEvents(batch.take(), {
        mark: () => assert.fail('no mark was written'),
        find(id) {
          assert.equal(id, 2 ** 32 - 1)
          return recorder<LinkEvents>(seen)
        },
      })
      replay(recorder(expected), list)
      assert.deepEqual(seen, expected)
    }),
  )
})

test('what is meant for a connection that has ended is passed over', () => {
  const seen: Call[] = []
  const batch = new BatchWriter()
  const gone = eventWriter(batch, 1)
  gone.onEncodedMessage(Buffer.from('lost'))
  gone.onPayloadBegin({ pieceIndex: 1, offsetBytes: 2, lengthBytes: 3 }, true)
  gone.onClosed(new Error('lost'))
  eventWriter(batch, 2).onSent(undefined)
  writeMark(batch)
  readEvents(batch.take(), {
    mark: () => seen.push(['mark']),
    find: (id) => (id === 2 ? recorder(seen) : undefined),
  })
  assert.deepEqual(seen, [['onSent', undefined], ['mark']])
  commandWriter(batch, 1).write(Buffer.from('lost'))
  commandWriter(batch, 1).sendPayload(1, [{ head: undefined, fromBytes: 0, lengthBytes: 9 }], true)
  const infoHashes = [parseInfoHash('ab'.repeat(20)), parseInfoHash('01'.repeat(20))]
  const adoptions = [
    { fd: 42, infoHashes },
    { fd: 43, infoHashes: undefined },
  ]
  for (const adoption of adoptions) writeAdopt(batch, 3, adoption)
  writeHeard(batch)
  readCommands(batch.take(), {
    adopt: (id, adoption) => seen.push(['adopt', id, adoption]),
    heard: () => seen.push(['heard']),
    find: () => undefined,
  })
  const adopted = adoptions.map((adoption) => ['adopt', 3, adoption])
  assert.deepEqual(seen.slice(2), [...adopted, ['heard']])
})

test('an error of ours keeps its code and hint, another one does not become ours', () => {
  const errors: (Error | undefined)[] = []
  const sent = [
    new SiError('ERR_SI_PROTOCOL', 'Peer breaks the protocol', { hint: 'Ask it not to' }),
    new Error('read ECONNRESET'),
    undefined,
  ]
  const batch = new BatchWriter()
  for (const error of sent) eventWriter(batch, 1).onClosed(error)
  const target = recorder<LinkEvents>([])
  const find = () => ({ ...target, onClosed: (error: Error | undefined) => errors.push(error) })
  readEvents(batch.take(), { mark: () => {}, find: find as unknown as () => LinkEvents })
  const [ours, other, none] = errors
  assert.ok(isSiError(ours, 'ERR_SI_PROTOCOL') && ours.hint === 'Ask it not to')
  assert.ok(other instanceof Error && !isSiError(other) && other.message === 'read ECONNRESET')
  assert.equal(none, undefined)
})

test('a BatchWriter grows, and gives its memory back after a burst', () => {
  const batch = new BatchWriter()
  const large = Buffer.alloc(1_000_003, 7)
  for (let round = 0; round < 2; round++) {
    batch.put(1, 2 ** 32 - 1)
    batch.putBytes(large)
    const reader = new BatchReader(batch.take())
    assert.equal(batch.length, 0)
    assert.deepEqual([reader.next(), reader.next()], [1, 2 ** 32 - 1])
    assert.ok(reader.nextBytes().equals(large))
    assert.equal(reader.isAtEnd, true)
  }
})
