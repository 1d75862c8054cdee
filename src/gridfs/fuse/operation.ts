// What an operation of the protocol is: a number, how its request is read, how its reply is written.
import { type FieldReader } from '../field-reader.ts'

export interface Operation<Fields, Reply> {
  readonly opcode: number
  readonly decode: (body: FieldReader) => Fields
  /** The body behind the header, in parts so that data is not copied. */
  readonly encode: (reply: Reply) => readonly Uint8Array[]
}

export function operation<Fields, Reply>(
  opcode: number,
  decode: (body: FieldReader) => Fields,
  encode: (reply: Reply) => readonly Uint8Array[],
): Operation<Fields, Reply> {
  return { opcode, decode, encode }
}

/** For operations whose reply is only that they were done. */
export const done = (_reply: void): readonly Uint8Array[] => []

export const noFields = (): object => ({})

/** The encoder of a reply that is one structure. */
export function whole<Reply>(encode: (reply: Reply) => Uint8Array) {
  return (reply: Reply): readonly Uint8Array[] => [encode(reply)]
}
