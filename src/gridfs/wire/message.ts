// Messages as frames: an operation's request and reply, a failure, a push. PROTOCOL.md §2 and §4.
import { type FrameHeader, encodeFrame, NO_SLOT, type Frame } from './frame.ts'
import {
  MAXIMUM_DATA_BYTES,
  wireKinds,
  wireOperations,
  wirePushes,
  type WireName,
  type WireOperation,
  type WireReplyOf,
  type WireRequestOf,
} from './operations.ts'
import {
  i64,
  malformedMessage,
  readAll,
  struct,
  WireWriter,
  type Codec,
  type ValueOf,
} from './schema.ts'

/** Every operation, without its types. */
type AnyOperation = WireOperation<unknown, unknown>

const byCode: readonly (WireName | undefined)[] = indexByCode()

function indexByCode(): (WireName | undefined)[] {
  const names: (WireName | undefined)[] = []
  for (const [name, { code }] of Object.entries(wireOperations)) names[code] = name as WireName
  return names
}

export function operationOf(name: WireName): AnyOperation {
  return wireOperations[name] as unknown as AnyOperation
}

/** In the code of a request: the time at which it happens, in nanoseconds, stands before its fields. */
const STAMPED = 0x8000

interface RequestOrder {
  readonly id: number
  readonly slot: number
  readonly sequence: number
  /** Of a change of a mirror: the time that it gives to what it touches, the same on all members. */
  readonly stampNs?: bigint | undefined
}

export function encodeRequest<Name extends WireName>(
  name: Name,
  request: WireRequestOf<Name>,
  order: RequestOrder & { readonly data: readonly Uint8Array[] },
): readonly Uint8Array[] {
  const { request: codec } = operationOf(name)
  const { data, stampNs, ...header } = order
  const code = operationOf(name).code | (stampNs === undefined ? 0 : STAMPED)
  const fields = encoded(codec, request, stampNs)
  return encodeFrame({ kind: wireKinds.request, code, ...header }, fields, data)
}

/** Throws ERR_SI_PROTOCOL for what is no request. */
export function decodeRequest(frame: Frame): {
  readonly name: WireName
  readonly request: unknown
  readonly stampNs: bigint | undefined
} {
  const name = byCode[frame.code & ~STAMPED]
  if (name === undefined) throw malformedMessage(`there is no operation ${frame.code}`)
  const codec = operationOf(name).request
  if ((frame.code & STAMPED) === 0) {
    return { name, request: readAll(codec, frame.fields), stampNs: undefined }
  }
  return { name, ...readAll(struct({ stampNs: i64, request: codec }), frame.fields) }
}

/** As much data as the reply to a request may have, without looking into the request. */
export function answerBytesOf({ code }: Pick<Frame, 'code'>): number {
  const name = byCode[code]
  return name !== undefined && operationOf(name).data === 'reply' ? MAXIMUM_DATA_BYTES : 0
}

export function encodeReply(
  name: WireName,
  id: number,
  reply: unknown,
  data: readonly Uint8Array[],
): readonly Uint8Array[] {
  const { code, reply: codec } = operationOf(name)
  return encodeFrame(headerOf(wireKinds.reply, code, id), encoded(codec, reply), data)
}

export function decodeReply<Name extends WireName>(name: Name, frame: Frame): WireReplyOf<Name> {
  if (frame.code !== operationOf(name).code) throw malformedMessage(`a reply to another operation`)
  return readAll(operationOf(name).reply as Codec<WireReplyOf<Name>>, frame.fields)
}

/** An errno's number: Linux's generic ones. */
export function encodeFailure(id: number, errno: number): readonly Uint8Array[] {
  return encodeFrame(headerOf(wireKinds.failure, errno, id), NOTHING)
}

export function encodeCancel(id: number): readonly Uint8Array[] {
  return encodeFrame(headerOf(wireKinds.cancel, 0, id), NOTHING)
}

export type PushName = keyof typeof wirePushes
export type PushBody<Name extends PushName> = ValueOf<(typeof wirePushes)[Name]['body']>
export type Push = {
  readonly [Name in PushName]: { readonly name: Name; readonly body: PushBody<Name> }
}[PushName]

export function encodePush({ name, body }: Push): readonly Uint8Array[] {
  const { code, body: codec } = wirePushes[name]
  return encodeFrame(headerOf(wireKinds.push, code, 0), encoded(codec as Codec<unknown>, body))
}

export function decodePush(frame: Frame): Push {
  for (const [name, { code, body }] of Object.entries(wirePushes)) {
    if (code === frame.code) {
      return { name, body: readAll(body as Codec<unknown>, frame.fields) } as Push
    }
  }
  throw malformedMessage(`there is no push ${frame.code}`)
}

const NOTHING = Buffer.alloc(0)

function headerOf(kind: number, code: number, id: number): FrameHeader {
  return { kind, code, id, slot: NO_SLOT, sequence: 0 }
}

function encoded<Value>(codec: Codec<Value>, value: Value, stampNs?: bigint): Buffer {
  const writer = new WireWriter()
  if (stampNs !== undefined) i64.write(writer, stampNs)
  codec.write(writer, value)
  return writer.finished()
}
