// Random numbers that can be had again: Chris Doty-Humphrey's sfc32, public domain, seeded through a
// mixing function so that neighbouring seeds have nothing in common.

/** Uniform in [0, 1); the same parts always give the same sequence. */
export function createRandom(...parts: readonly number[]): () => number {
  let [a, b, c, counter] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 1]
  const next = () => {
    const sum = (a + b + counter++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }
  for (const part of parts) {
    a ^= Math.imul(part | 0, 0x85ebca6b)
    for (let round = 0; round < 15; round++) next()
  }
  return next
}
