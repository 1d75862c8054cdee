// Small pieces of byte handling that Node lacks.

/** A Buffer over the very same memory. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * `into.set(from, atBytes)` at the speed of memory also when `into` is shared between threads: there `set`
 * moves byte by byte unless both lie alike, and so does Buffer.copy when it is given all of its source.
 */
export function copyBytes(from: Uint8Array, into: Uint8Array, atBytes: number): void {
  const source = Buffer.from(from.buffer)
  const middle = from.length < source.length ? 0 : from.length >>> 1
  if (middle > 0) source.copy(into, atBytes, 0, middle)
  source.copy(into, atBytes + middle, from.byteOffset + middle, from.byteOffset + from.length)
}

/**
 * Bytes as a shell or a person may see them: UTF-8 where valid, `\xNN` elsewhere and for control
 * characters, so that a hostile file name cannot rewrite a terminal.
 */
export function formatBytesForPeople(bytes: Uint8Array): string {
  const buffer = asBuffer(bytes)
  const escape = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`
  const text = buffer.toString('utf8')
  if (!Buffer.from(text, 'utf8').equals(buffer)) {
    return Array.from(buffer, (b) =>
      b > 0x1f && b < 0x7f ? String.fromCharCode(b) : escape(b),
    ).join('')
  }
  return text.replace(/\p{Cc}/gu, (char) => Array.from(Buffer.from(char), escape).join(''))
}
