// What a file system tells the kernel without being asked: drop what you have cached. Must be written
// asynchronously: the kernel may wait for locks that it gives back only after one of our replies.
import { writeNumber } from './attributes.ts'

export type Notification =
  /** Attributes and the data of a range; a negative `offset`: attributes alone; length 0: to the end. */
  | {
      readonly type: 'invalidate-inode'
      readonly nodeId: number
      readonly offset: number
      readonly lengthBytes: number
    }
  /** What a name leads to. `expireOnly`: look it up again, but leave mounts and watches below alone. */
  | {
      readonly type: 'invalidate-entry'
      readonly parent: number
      readonly name: Uint8Array
      readonly expireOnly: boolean
    }
  /** As invalidate-entry, and watchers are told that `child` was removed. */
  | {
      readonly type: 'delete'
      readonly parent: number
      readonly child: number
      readonly name: Uint8Array
    }
  /** Data for the page cache. */
  | {
      readonly type: 'store'
      readonly nodeId: number
      readonly offset: number
      readonly data: Uint8Array
    }
  /** All requests that were read and not answered come again, with `isResent`. */
  | { readonly type: 'resend' }

const CODES = {
  'invalidate-inode': 2,
  'invalidate-entry': 3,
  store: 4,
  delete: 6,
  resend: 7,
} as const
const EXPIRE_ONLY = 1 << 0
const HEADER_BYTES = 16
const NUL = Buffer.alloc(1)

/** The whole message with its header, in parts. */
export function encodeNotification(notification: Notification): readonly Uint8Array[] {
  const body = encodeBody(notification)
  const header = Buffer.alloc(HEADER_BYTES) // unique 0 makes it a notification
  header.writeUInt32LE(
    body.reduce((sum, part) => sum + part.length, HEADER_BYTES),
    0,
  )
  header.writeInt32LE(CODES[notification.type], 4)
  return [header, ...body]
}

function encodeBody(notification: Notification): readonly Uint8Array[] {
  switch (notification.type) {
    case 'invalidate-inode': {
      const into = Buffer.alloc(24)
      writeNumber(into, 0, notification.nodeId)
      into.writeBigInt64LE(BigInt(notification.offset), 8)
      into.writeBigInt64LE(BigInt(notification.lengthBytes), 16)
      return [into]
    }
    case 'invalidate-entry': {
      const into = Buffer.alloc(16)
      writeNumber(into, 0, notification.parent)
      into.writeUInt32LE(notification.name.length, 8)
      into.writeUInt32LE(notification.expireOnly ? EXPIRE_ONLY : 0, 12)
      return [into, notification.name, NUL]
    }
    case 'delete': {
      const into = Buffer.alloc(24)
      writeNumber(into, 0, notification.parent)
      writeNumber(into, 8, notification.child)
      into.writeUInt32LE(notification.name.length, 16)
      return [into, notification.name, NUL]
    }
    case 'store': {
      const into = Buffer.alloc(24)
      writeNumber(into, 0, notification.nodeId)
      writeNumber(into, 8, notification.offset)
      into.writeUInt32LE(notification.data.length, 16)
      return [into, notification.data]
    }
    case 'resend':
      return []
    default:
      return notification satisfies never
  }
}
