// A call as the frame that asks and the frame that answers.
import { errnoOf } from '../../core/core.ts'
import { errnoName, FuseError } from '../fuse/errno.ts'
import { NO_SLOT, type Frame } from '../wire/frame.ts'
import { decodeReply, encodeRequest } from '../wire/message.ts'
import { wireKinds, type WireName, type WireRequestOf } from '../wire/operations.ts'
import { type UsedSlot } from './session-slots.ts'
import { type Answer } from './volume.ts'

/** Throws for values that the wire does not carry, and then the slot is free again. */
export function encodedOrGivenBack<Name extends WireName>(
  name: Name,
  request: WireRequestOf<Name>,
  order: {
    readonly id: number
    readonly data: readonly Uint8Array[]
    readonly slot: UsedSlot | undefined
    readonly stampNs: bigint | undefined
  },
): readonly Uint8Array[] {
  const { id, data, slot, stampNs } = order
  const { number = NO_SLOT, sequence = 0 } = slot ?? {}
  try {
    return encodeRequest(name, request, { id, slot: number, sequence, data, stampNs })
  } catch (error) {
    slot?.settled()
    throw error
  }
}

/** A call that is not answered yet. */
export interface PendingCall {
  readonly name: WireName
  /** To be asked again when the connection breaks. */
  readonly encoded: readonly Uint8Array[]
  /** Throws what no honest server says. */
  readonly settle: (frame: Frame) => void
  readonly fail: (error: unknown) => void
}

/** `onSettled` is called when it is answered or fails; `reject` tells the caller only, and leaves the call pending. */
export function pendingCall<Name extends WireName>(
  name: Name,
  encoded: readonly Uint8Array[],
  onSettled: () => void,
): {
  readonly call: PendingCall
  readonly answer: Promise<Answer<Name>>
  readonly reject: (error: unknown) => void
} {
  const { promise: answer, resolve, reject } = Promise.withResolvers<Answer<Name>>()
  const call: PendingCall = {
    ...{ name, encoded },
    settle(frame) {
      onSettled()
      try {
        resolve(answerOf(name, frame))
      } catch (error) {
        reject(error)
        if (errnoOf(error) === undefined) throw error
      }
    },
    fail(error) {
      onSettled()
      reject(error)
    },
  }
  return { call, answer, reject }
}

/** Throws what the server says, as a FuseError. */
function answerOf<Name extends WireName>(name: Name, frame: Frame): Answer<Name> {
  if (frame.kind === wireKinds.failure) {
    throw new FuseError(errnoName(frame.code), `${name}: ${errnoName(frame.code)}`)
  }
  return { reply: decodeReply(name, frame), data: frame.data }
}
