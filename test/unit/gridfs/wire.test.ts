// Frames and messages: what was written is read, whatever the parts in which it comes; what is no message
// ends with an error of the protocol, in bounded memory.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FrameDecoder,
  MAXIMUM_FRAME_BYTES,
  type Frame,
} from '../../../src/gridfs/wire/frame.ts'
import { decodePush, decodeReply, decodeRequest } from '../../../src/gridfs/wire/message.ts'
import { wireOperations, type WireName } from '../../../src/gridfs/wire/operations.ts'

const SEED = { seed: 20_260, numRuns: 400 } as const
const names = Object.keys(wireOperations) as WireName[]
const codes = Object.values(wireOperations).map(({ code }) => code)

const u32 = fc.nat({ max: 0xffff_ffff })
const header = fc.record({
  ...{ kind: fc.nat({ max: 255 }), code: fc.nat({ max: 65_535 }) },
  ...{ id: u32, slot: u32, sequence: u32 },
})
const frame = fc.record({
  header,
  fields: fc.uint8Array({ maxLength: 200 }),
  data: fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 3 }),
})

/** Cuts bytes at arbitrary places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length))
}

const plain = ({ fields, data, ...rest }: Frame) => ({
  ...{ header: rest, fields: Buffer.from(fields) },
  data: Buffer.concat(data),
})

describe('FrameDecoder.push()', () => {
  test('gives the frames that were sent, however they are cut', () => {
    const property = fc.property(
      ...([fc.array(frame, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 60 })] as const),
      (frames, places) => {
        const sent = frames.flatMap((one) => encodeFrame(one.header, one.fields, one.data))
        const decoder = new FrameDecoder()
        const parts = cut(Buffer.concat(sent), places)
        const got = parts.flatMap((part) => decoder.push(Buffer.from(part)).map(plain))
        assert.deepEqual(
          got,
          frames.map((one) => ({
            ...{ header: { ...one.header }, fields: Buffer.from(one.fields) },
            data: Buffer.concat(one.data),
          })),
        )
        assert.equal(decoder.isPartial, false)
      },
    )
    fc.assert(property, SEED)
  })

  test('refuses a frame that is longer than allowed by its header alone', () => {
    const property = fc.property(u32, u32, (fieldsBytes, dataBytes) => {
      const bytes = Buffer.alloc(FRAME_HEADER_BYTES)
      bytes.writeUInt32LE(fieldsBytes, 0)
      bytes.writeUInt32LE(dataBytes, 4)
      const push = () => new FrameDecoder().push(bytes)
      if (FRAME_HEADER_BYTES + fieldsBytes + dataBytes <= MAXIMUM_FRAME_BYTES) push()
      else assert.throws(push, { code: 'ERR_SI_PROTOCOL' })
    })
    fc.assert(property, SEED)
  })

  test('takes no more memory for a message that comes byte by byte', () => {
    const bytes = Buffer.alloc(FRAME_HEADER_BYTES)
    bytes.writeUInt32LE(300_000, 4)
    const decoder = new FrameDecoder()
    decoder.push(bytes)
    const before = process.memoryUsage().arrayBuffers
    for (let index = 0; index < 299_999; index += 1) {
      const one = new Uint8Array(1)
      assert.equal(decoder.push(Buffer.from(one.buffer)).length, 0)
    }
    const grownBytes = process.memoryUsage().arrayBuffers - before
    assert.ok(grownBytes < 20 * 2 ** 20, `${grownBytes} bytes`)
    assert.equal(decoder.push(Buffer.alloc(1)).length, 1)
  })
})

describe('messages', () => {
  const fields = fc.uint8Array({ maxLength: 400 })
  const asFrame = (code: number, bytes: Uint8Array): Frame => ({
    ...{ kind: 1, code, id: 1, slot: 0, sequence: 1, fields: Buffer.from(bytes), data: [] },
  })
  /** Whatever it makes of the bytes: a message, or an error of the protocol. */
  const survives = (decode: () => unknown) => {
    try {
      decode()
    } catch (error) {
      assert.ok(isSiError(error, 'ERR_SI_PROTOCOL'), String(error))
    }
  }

  test('decodeRequest() survives whatever a client sends', () => {
    const code = fc.oneof(fc.constantFrom(...codes), fc.nat({ max: 65_535 }))
    const property = fc.property(code, fields, (one, bytes) => {
      survives(() => decodeRequest(asFrame(one, bytes)))
    })
    fc.assert(property, { ...SEED, numRuns: 5000 })
  })

  test('decodeReply() and decodePush() survive whatever a server sends', () => {
    const property = fc.property(fc.constantFrom(...names), fields, (name, bytes) => {
      survives(() => decodeReply(name, asFrame(wireOperations[name].code, bytes)))
      survives(() => decodePush(asFrame(1 + (bytes.length % 3), bytes)))
    })
    fc.assert(property, { ...SEED, numRuns: 5000 })
  })

  test('a count beyond what comes with it is refused before room is made for it', () => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(4096)
    const reply = () => decodeReply('readdir', asFrame(wireOperations.readdir.code, bytes))
    assert.throws(reply, { code: 'ERR_SI_PROTOCOL' })
    bytes.writeUInt32LE(0xffff_ffff)
    assert.throws(reply, { code: 'ERR_SI_PROTOCOL', message: /4294967295 entries are too many/ })
  })
})
