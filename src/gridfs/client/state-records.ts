// The records of a mount's state: what the kernel has been given, and what was agreed with it. Codecs of
// the wire; a record that a newer program adds gets a new number, since programs are replaced under mounts.
import { bytes, flag, i64, list, struct, u32, whole, type ValueOf } from '../wire/schema.ts'
import { reference, entry } from '../wire/operations.ts'

/** Names of a folder in one record; a server gives some hundreds at a time. */
export const NAMES_IN_RECORD = 4096

const node = whole
const handle = whole

export const stateRecords = {
  session: { code: 1, body: struct({ id: bytes(16) }) },
  /** What the kernel offered at the first exchange; it does so once. */
  agreed: {
    code: 2,
    body: struct({ major: u32, minor: u32, maximumReadaheadBytes: u32, bits: i64 }),
  },
  /** Numbers that must not be given again. */
  numbers: { code: 3, body: struct({ lastNode: node, lastHandle: handle }) },
  node: { code: 4, body: struct({ node, reference }) },
  /** The kernel was given a node so many times, or gives it back: negative. */
  lookups: { code: 5, body: struct({ node, change: i64 }) },
  opened: { code: 6, body: struct({ handle, node, reference, flags: u32 }) },
  /** Something was written by this handle: closing it is of interest to others. */
  written: { code: 7, body: struct({ handle }) },
  closed: { code: 8, body: struct({ handle }) },
  folder: { code: 9, body: struct({ handle, node }) },
  /** Names that were read, after those before them. */
  names: {
    code: 10,
    body: struct({
      ...{ handle, entries: list(entry, NAMES_IN_RECORD), next: i64, isComplete: flag },
    }),
  },
  /** Reading a folder began anew. */
  rewound: { code: 11, body: struct({ handle }) },
  closedFolder: { code: 12, body: struct({ handle }) },
  locked: { code: 13, body: struct({ node }) },
  /** A write of a file failed, of which an open file has to be told: an errno's number; 0 when it was. */
  failed: { code: 14, body: struct({ handle, errno: u32 }) },
  /** Of the server, as it was last seen. */
  verifier: { code: 15, body: struct({ verifier: bytes(32) }) },
  /** Something of a file may not be on the server's disk; and then it is. */
  unsynced: { code: 16, body: struct({ node, reference }) },
  synced: { code: 17, body: struct({ reference }) },
} as const

export type StateName = keyof typeof stateRecords
export type StateRecord = {
  readonly [Name in StateName]: {
    readonly name: Name
    readonly body: ValueOf<(typeof stateRecords)[Name]['body']>
  }
}[StateName]
