// A request of the kernel as a value: header, operation by name, its fields. Pure; nothing is copied, so
// names and data are views into the bytes given.
import { FieldReader } from '../field-reader.ts'
import {
  controlOperations,
  readBatchForget,
  readForget,
  type Forgotten,
} from './control-operations.ts'
import { dataOperations } from './data-operations.ts'
import { readKernelOffer, type KernelOffer } from './handshake.ts'
import { nameOperations } from './name-operations.ts'
import { type Operation } from './operation.ts'

export const operations = {
  ...nameOperations,
  ...dataOperations,
  ...controlOperations,
} as const

export type Operations = typeof operations
export type OperationName = keyof Operations
export type FieldsOf<Name extends OperationName> = ReturnType<Operations[Name]['decode']>
export type ReplyOf<Name extends OperationName> = Parameters<Operations[Name]['encode']>[0]

export interface RequestHeader {
  /** Names the request in its reply; with the top bit set when it was resent. */
  readonly unique: bigint
  /** Has been read before, perhaps by a process that is gone (see Notification "resend"). */
  readonly isResent: boolean
  readonly opcode: number
  readonly nodeId: number
  /** Of the process that called; ids as in the namespace where the file system was mounted. */
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

export type FuseRequest =
  | { readonly kind: 'init'; readonly header: RequestHeader; readonly offer: KernelOffer }
  | {
      readonly kind: 'forget'
      readonly header: RequestHeader
      readonly forgotten: readonly Forgotten[]
    }
  | { readonly kind: 'interrupt'; readonly header: RequestHeader; readonly unique: bigint }
  | { readonly kind: 'destroy'; readonly header: RequestHeader }
  | { readonly kind: 'unknown'; readonly header: RequestHeader }
  | {
      readonly kind: 'operation'
      readonly header: RequestHeader
      readonly name: OperationName
      readonly body: FieldReader
    }

const RESENT = 1n << 63n
const OPCODE = { forget: 2, init: 26, interrupt: 36, destroy: 38, batchForget: 42 } as const

const byOpcode: readonly (OperationName | undefined)[] = indexByOpcode()

function indexByOpcode(): (OperationName | undefined)[] {
  const names: (OperationName | undefined)[] = []
  for (const [name, { opcode }] of Object.entries(operations)) names[opcode] = name as OperationName
  return names
}

/** Throws ERR_SI_PROTOCOL on bytes that are no request. The body of an operation is still to be read. */
export function decodeRequest(bytes: Buffer): FuseRequest {
  const reader = new FieldReader(bytes, 'FUSE request')
  const header = readHeader(reader)
  switch (header.opcode) {
    case OPCODE.init:
      return { kind: 'init', header, offer: readKernelOffer(reader) }
    case OPCODE.forget:
      return { kind: 'forget', header, forgotten: readForget(header.nodeId, reader) }
    case OPCODE.batchForget:
      return { kind: 'forget', header, forgotten: readBatchForget(reader) }
    case OPCODE.interrupt:
      return { kind: 'interrupt', header, unique: reader.u64() }
    case OPCODE.destroy:
      return { kind: 'destroy', header }
    default: {
      const name = byOpcode[header.opcode]
      if (name === undefined) return { kind: 'unknown', header }
      return { kind: 'operation', header, name, body: reader }
    }
  }
}

function readHeader(reader: FieldReader): RequestHeader {
  reader.skip(4) // the length: what was read is one request, whole
  const opcode = reader.u32()
  const unique = reader.u64()
  const nodeId = reader.number()
  const [uid, gid, pid] = [reader.u32(), reader.u32(), reader.u32()]
  reader.skip(4)
  return { opcode, unique, isResent: (unique & RESENT) !== 0n, nodeId, uid, gid, pid }
}

/** The number by which the kernel knows a request, however often it was sent. */
export function withoutResent(unique: bigint): bigint {
  return unique & ~RESENT
}

/** The fields of an operation's request. */
export function decodeFields<Name extends OperationName>(
  name: Name,
  body: FieldReader,
): FieldsOf<Name> {
  const { decode } = operations[name] as unknown as Operation<FieldsOf<Name>, ReplyOf<Name>>
  return decode(body)
}

/** A whole reply with its header, in parts. */
export function encodeReply<Name extends OperationName>(
  name: Name,
  unique: bigint,
  reply: ReplyOf<Name>,
): readonly Uint8Array[] {
  const { encode } = operations[name] as unknown as Operation<FieldsOf<Name>, ReplyOf<Name>>
  return withHeader(unique, encode(reply))
}

/** A reply that says that the request failed, with an errno's number. */
export function encodeFailure(unique: bigint, errno: number): readonly Uint8Array[] {
  const header = Buffer.alloc(REPLY_HEADER_BYTES)
  header.writeUInt32LE(REPLY_HEADER_BYTES, 0)
  header.writeInt32LE(-errno, 4)
  header.writeBigUInt64LE(unique, 8)
  return [header]
}

const REPLY_HEADER_BYTES = 16

export function withHeader(unique: bigint, body: readonly Uint8Array[]): readonly Uint8Array[] {
  const header = Buffer.alloc(REPLY_HEADER_BYTES)
  let lengthBytes = REPLY_HEADER_BYTES
  for (const part of body) lengthBytes += part.length
  header.writeUInt32LE(lengthBytes, 0)
  header.writeBigUInt64LE(unique, 8)
  return [header, ...body]
}
