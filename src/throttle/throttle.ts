// The door of throttle: limits on how many bytes per second pass a point.
export { createTokenBucket, type TokenBucket, type TokenBucketOptions } from './token-bucket.ts'
