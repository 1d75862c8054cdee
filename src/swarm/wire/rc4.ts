// The stream cipher of encrypted connections to other clients, which OpenSSL no longer offers.
// Spec: RC4 with the first 1024 bytes of its key stream thrown away.

const DISCARDED_BYTES = 1024

/** Encrypts or decrypts `from` into `into`, which may be the same; call after call, in one stream. */
export type StreamCipher = (from: Uint8Array, into: Uint8Array) => void

/** `key`: 1 to 256 bytes. */
export function createRc4(key: Uint8Array): StreamCipher {
  const state = Uint8Array.from({ length: 256 }, (_, index) => index)
  for (let i = 0, j = 0; i < 256; i++) {
    const held = state[i] as number
    j = (j + held + (key[i % key.length] as number)) & 0xff
    state[i] = state[j] as number
    state[j] = held
  }
  let i = 0
  let j = 0
  const cipher: StreamCipher = (from, into) => {
    for (let at = 0; at < from.length; at++) {
      i = (i + 1) & 0xff
      const first = state[i] as number
      j = (j + first) & 0xff
      const second = state[j] as number
      state[i] = second
      state[j] = first
      into[at] = (from[at] as number) ^ (state[(first + second) & 0xff] as number)
    }
  }
  const discarded = new Uint8Array(DISCARDED_BYTES)
  cipher(discarded, discarded)
  return cipher
}
