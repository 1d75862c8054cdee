// The first exchange, FUSE_INIT: versions, limits and which optional behaviour of the kernel we take.
// Specification: linux/fuse.h, struct fuse_init_in and fuse_init_out.
import { SiError } from '../../core/core.ts'
import { type FieldReader } from '../field-reader.ts'

/** Bits of the `flags` of INIT; those above 31 travel in `flags2`. */
export const CAPABILITIES = {
  asyncRead: 0,
  posixLocks: 1,
  atomicTruncate: 3,
  exportSupport: 4,
  bigWrites: 5,
  /** The umask is the file system's business. */
  dontMask: 6,
  flockLocks: 10,
  ioctlOnFolders: 11,
  autoInvalidateData: 12,
  readdirplus: 13,
  readdirplusAuto: 14,
  asyncDirectIo: 15,
  writebackCache: 16,
  noOpenSupport: 17,
  parallelFolderOperations: 18,
  handleKillPrivileges: 19,
  posixAcl: 20,
  abortError: 21,
  maximumPages: 22,
  cacheSymlinks: 23,
  noOpendirSupport: 24,
  explicitInvalidateData: 25,
  handleKillPrivileges2: 28,
  initExtended: 30,
  expireOnly: 35,
  directIoAllowsMmap: 36,
  /** Requests that were read and not answered can be asked for again (kernel 6.9). */
  resend: 39,
} as const

export type Capability = keyof typeof CAPABILITIES

export interface KernelOffer {
  readonly major: number
  readonly minor: number
  readonly maximumReadaheadBytes: number
  readonly capabilities: ReadonlySet<Capability>
}

export interface HandshakeReply {
  readonly minor: number
  readonly maximumReadaheadBytes: number
  readonly capabilities: Iterable<Capability>
  readonly maximumBackgroundRequests: number
  readonly maximumWriteBytes: number
  readonly timeGranularityNs: number
}

export const MAJOR = 7
/** The oldest that has all of the structures that are used here; kernel 5.4. */
export const OLDEST_MINOR = 31
/** The newest whose structures are known here. */
export const NEWEST_MINOR = 45
const PAGE_BYTES = 4096
const REPLY_BYTES = 64

export function readKernelOffer(body: FieldReader): KernelOffer {
  const [major, minor, maximumReadaheadBytes, flags] = [
    ...([body.u32(), body.u32(), body.u32(), body.u32()] as const),
  ]
  const flags2 = body.remainingBytes >= 4 ? body.u32() : 0
  if (major < MAJOR || (major === MAJOR && minor < OLDEST_MINOR)) {
    throw new SiError(
      'ERR_SI_PROTOCOL',
      `The kernel speaks FUSE ${major}.${minor}; ${MAJOR}.${OLDEST_MINOR} is needed`,
      { hint: 'Use kernel 5.4 or newer' },
    )
  }
  return {
    major,
    minor,
    maximumReadaheadBytes,
    capabilities: capabilitiesOf(BigInt(flags) | (BigInt(flags2) << 32n)),
  }
}

/** The bits that are known here. */
export function capabilitiesOf(bits: bigint): ReadonlySet<Capability> {
  const names = Object.keys(CAPABILITIES) as Capability[]
  return new Set(names.filter((name) => ((bits >> BigInt(CAPABILITIES[name])) & 1n) === 1n))
}

export function capabilityBits(capabilities: Iterable<Capability>): bigint {
  let bits = 0n
  for (const name of capabilities) bits |= 1n << BigInt(CAPABILITIES[name])
  return bits
}

export function encodeHandshakeReply(reply: HandshakeReply): Buffer {
  const bits = capabilityBits(reply.capabilities)
  const into = Buffer.alloc(REPLY_BYTES)
  into.writeUInt32LE(MAJOR, 0)
  into.writeUInt32LE(reply.minor, 4)
  into.writeUInt32LE(reply.maximumReadaheadBytes, 8)
  into.writeUInt32LE(Number(bits & 0xffff_ffffn), 12)
  into.writeUInt16LE(reply.maximumBackgroundRequests, 16)
  into.writeUInt16LE(Math.ceil((reply.maximumBackgroundRequests * 3) / 4), 18)
  into.writeUInt32LE(reply.maximumWriteBytes, 20)
  into.writeUInt32LE(reply.timeGranularityNs, 24)
  into.writeUInt16LE(reply.maximumWriteBytes / PAGE_BYTES, 28)
  into.writeUInt32LE(Number(bits >> 32n), 32)
  return into
}
