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
export { PolicyDaemon, type Policy } from './policy-daemon.ts'
export { parsePolicy, type PolicyRule } from './policy-file.ts'
export { placeProcess, type AccountRule, type Placement } from './policy-match.ts'
export { PolicyState } from './policy-state.ts'
export { loadPolicy } from './load-policy.ts'
