import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { FieldReader } from '../../../src/gridfs/field-reader.ts'
import {
  decodeFields,
  decodeRequest,
  encodeFailure,
  encodeReply,
  operations,
  type OperationName,
} from '../../../src/gridfs/fuse/request.ts'
import { FuseError, errnoNumber } from '../../../src/gridfs/fuse/errno.ts'

/** A request as the kernel lays it out: struct fuse_in_header and a body. */
function request(opcode: number, body: Uint8Array, unique = 7n): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40 + body.length, 0)
  header.writeUInt32LE(opcode, 4)
  header.writeBigUInt64LE(unique, 8)
  header.writeBigUInt64LE(5n, 16)
  header.writeUInt32LE(1000, 24)
  header.writeUInt32LE(100, 28)
  header.writeUInt32LE(4242, 32)
  return Buffer.concat([header, body])
}

const u32 = (...values: readonly number[]) => Buffer.from(new Uint32Array(values).buffer)
const u64 = (...values: readonly bigint[]) => Buffer.from(new BigUint64Array(values).buffer)
const text = (value: string) => Buffer.from(`${value}\0`, 'latin1')

function fieldsOf<Name extends OperationName>(name: Name, body: Uint8Array) {
  const decoded = decodeRequest(request(operations[name].opcode, body))
  assert.ok(decoded.kind === 'operation' && decoded.name === name)
  return decodeFields(name, decoded.body)
}

test('decodeRequest() reads who asks for what', () => {
  const decoded = decodeRequest(request(1, text('name'), 2n ** 63n + 9n))
  assert.equal(decoded.kind, 'operation')
  assert.deepEqual(decoded.header, {
    ...{ opcode: 1, unique: 2n ** 63n + 9n, isResent: true },
    ...{ nodeId: 5, uid: 1000, gid: 100, pid: 4242 },
  })
})

test('decodeRequest() calls an operation unknown that it does not know', () => {
  for (const opcode of [0, 7, 19, 48, 49, 99, 4096]) {
    assert.equal(decodeRequest(request(opcode, u32(1, 2, 3, 4))).kind, 'unknown')
  }
})

test('decodeRequest() reads what is forgotten, one node or many', () => {
  const one = decodeRequest(request(2, u64(3n)))
  assert.ok(one.kind === 'forget')
  assert.deepEqual(one.forgotten, [{ nodeId: 5, lookups: 3 }])
  const many = decodeRequest(request(42, Buffer.concat([u32(2, 0), u64(8n, 1n, 9n, 2n)])))
  assert.ok(many.kind === 'forget')
  assert.deepEqual(many.forgotten, [
    { nodeId: 8, lookups: 1 },
    { nodeId: 9, lookups: 2 },
  ])
})

test('decodeRequest() refuses a count of forgotten nodes that is larger than the request', () => {
  const bytes = request(42, Buffer.concat([u32(0xffff_ffff, 0), u64(8n, 1n)]))
  assert.throws(
    () => decodeRequest(bytes),
    (error) => isSiError(error, 'ERR_SI_PROTOCOL'),
  )
})

test('decodeFields() reads the fields of each structure where the kernel has them', () => {
  assert.deepEqual(
    fieldsOf('rename2', Buffer.concat([u64(12n), u32(2, 0), text('a'), text('b')])),
    {
      ...{ newParent: 12, flags: 2, name: Buffer.from('a'), newName: Buffer.from('b') },
    },
  )
  const written = Buffer.concat([
    u64(3n, 4096n),
    u32(5, 6),
    u64(99n),
    u32(0o2, 0),
    Buffer.from('datas'),
  ])
  assert.deepEqual(fieldsOf('write', written), {
    ...{ handle: 3, offset: 4096, flags: 0o2, lockOwner: 99n, data: Buffer.from('datas') },
    ...{ isFromCache: false, killsPrivileges: true },
  })
  const locked = Buffer.concat([u64(3n, 77n, 10n, 2n ** 63n - 1n), u32(1, 4242), u32(1, 0)])
  assert.deepEqual(fieldsOf('setlkw', locked), {
    ...{ handle: 3, owner: 77n, isFlock: true },
    lock: { start: 10n, end: 2n ** 63n - 1n, type: 'write', pid: 4242 },
  })
})

test('decodeFields() of setattr names only what is to change', () => {
  const body = (valid: number) =>
    Buffer.concat([
      ...[u32(valid, 0), u64(3n, 5n, 7n), u64(1n, 2n ** 64n - 2n, 3n), u32(4, 5, 6)],
      u32(0o100600, 0, 1000, 100, 0),
    ])
  assert.deepEqual(fieldsOf('setattr', body(0)).changes, { killsPrivileges: false })
  const [mode, size, mtime, atime, atimeNow] = [1, 8, 32, 16, 128]
  assert.deepEqual(fieldsOf('setattr', body(mode | size | mtime)).changes, {
    ...{ mode: 0o100600, sizeBytes: 5, modifiedNs: -1_999_999_995n, killsPrivileges: false },
  })
  const touched = fieldsOf('setattr', body(atime | atimeNow)).changes
  assert.equal(touched.accessedNs, 'now')
})

test('decodeFields() survives every body, whole or cut, with an error of the protocol at worst', () => {
  const names = Object.keys(operations) as OperationName[]
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.uint8Array({ maxLength: 200 }), (name, bytes) => {
      try {
        decodeFields(name, new FieldReader(Buffer.from(bytes), 'FUSE request'))
      } catch (error) {
        assert.ok(isSiError(error, 'ERR_SI_PROTOCOL'), String(error))
      }
    }),
  )
})

test('encodeReply() and encodeFailure() state their length and whom they answer', () => {
  const failure = Buffer.concat([...encodeFailure(9n, errnoNumber(new FuseError('ENOENT')))])
  assert.deepEqual([failure.readUInt32LE(0), failure.readInt32LE(4)], [16, -2])
  const reply = Buffer.concat([...encodeReply('read', 9n, Buffer.from('data'))])
  assert.deepEqual([reply.readUInt32LE(0), reply.readInt32LE(4)], [20, 0])
  assert.equal(reply.readBigUInt64LE(8), 9n)
  assert.equal(reply.toString('latin1', 16), 'data')
})

test('errnoNumber() knows the errors of Node, of the binding, and an interruption', () => {
  const node = Object.assign(new Error('x'), { code: 'EACCES' })
  assert.equal(errnoNumber(node), 13)
  assert.equal(errnoNumber(new FuseError('ESTALE')), 116)
  assert.equal(errnoNumber(new TypeError('x')), 5)
})
