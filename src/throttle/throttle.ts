// The door of throttle: limits on how many bytes per second pass a point, ours and the kernel's.
export { createTokenBucket, type TokenBucket, type TokenBucketOptions } from './token-bucket.ts'
export { parseIoRate, toIoLimits, UNLIMITED, type IoRate } from './io-rate.ts'
export {
  ioStatistics,
  limitProcess,
  type GroupStatistics,
  type LimitedProcess,
  type ProcessLimit,
} from './process-limit.ts'
