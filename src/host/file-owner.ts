// Making files as somebody else's, from the first moment: the ids that the kernel gives to new files belong
// to the thread (setfsuid(2)), and so do its capabilities (capset(2)). Only synchronous calls of the same
// thread are made so.
import { check, libc } from './libc.ts'

const c = {
  setfsuid: libc.func('int setfsuid(uint32_t)'),
  setfsgid: libc.func('int setfsgid(uint32_t)'),
  capget: libc.func('int capget(const uint8_t *, _Out_ uint8_t *)'),
  capset: libc.func('int capset(const uint8_t *, const uint8_t *)'),
}

const VERSION_3 = 0x20080522
/** CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_MKNOD: not CAP_FSETID, so setgid goes where it must. */
const KEPT = (1 << 1) | (1 << 2) | (1 << 27)
const header = Buffer.alloc(8)
header.writeUInt32LE(VERSION_3, 0)
/** Two of struct __user_cap_data_struct: effective, permitted, inheritable. */
const raised = Buffer.alloc(24)

/** What `act` makes belongs to `uid` and `gid`; permissions stay those of root. */
export function asOwner<T>(owner: { readonly uid: number; readonly gid: number }, act: () => T): T {
  if (owner.uid === 0 && owner.gid === 0) return act()
  c.setfsgid(owner.gid)
  c.setfsuid(owner.uid)
  try {
    check('capget', c.capget(header, raised) as number)
    raised.writeUInt32LE((raised.readUInt32LE(0) | KEPT) >>> 0, 0)
    check('capset', c.capset(header, raised) as number)
    return act()
  } finally {
    c.setfsuid(0) // gives back what root may do with files
    c.setfsgid(0)
  }
}
