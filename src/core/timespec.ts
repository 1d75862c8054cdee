// A time in nanoseconds since 1970 as the kernel and file formats have it: seconds, and nanoseconds that count
// onwards also before 1970.

const NS_PER_SECOND = 1_000_000_000n

export interface Timespec {
  readonly seconds: bigint
  /** 0 to 999 999 999. */
  readonly nanoseconds: bigint
}

export function toTimespec(timeNs: bigint): Timespec {
  let nanoseconds = timeNs % NS_PER_SECOND
  if (nanoseconds < 0n) nanoseconds += NS_PER_SECOND
  return { seconds: (timeNs - nanoseconds) / NS_PER_SECOND, nanoseconds }
}

export function fromTimespec({ seconds, nanoseconds }: Timespec): bigint {
  return seconds * NS_PER_SECOND + nanoseconds
}
