// Hashes of bytes that no cache holds, such as a piece that another thread received. The processor's hash
// instructions do not read ahead: from memory they run at half of their speed. So the bytes pass through a
// window that stays in the cache, which costs a tenth of what it saves.
import { createHash, hash } from 'node:crypto'
import { copyBytes } from './bytes.ts'

const WINDOW_BYTES = 64 * 1024

/** One per thread; nothing in it outlives a call. */
const window = Buffer.allocUnsafeSlow(WINDOW_BYTES)

export type DigestAlgorithm = 'sha1' | 'sha256'

/** The digest of `bytes`; made for long ones in memory that threads share. */
export function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array): Buffer {
  if (bytes.length <= WINDOW_BYTES) return hash(algorithm, bytes, 'buffer')
  const digest = createHash(algorithm)
  for (let at = 0; at < bytes.length; at += WINDOW_BYTES) {
    const part = bytes.subarray(at, at + WINDOW_BYTES)
    copyBytes(part, window, 0)
    digest.update(window.subarray(0, part.length))
  }
  return digest.digest()
}
