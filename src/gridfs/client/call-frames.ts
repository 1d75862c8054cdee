// A call as the frame that asks and the frame that answers.
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

/** Throws what the server says, as a FuseError. */
export function answerOf<Name extends WireName>(name: Name, frame: Frame): Answer<Name> {
  if (frame.kind === wireKinds.failure) {
    throw new FuseError(errnoName(frame.code), `${name}: ${errnoName(frame.code)}`)
  }
  return { reply: decodeReply(name, frame), data: frame.data }
}
