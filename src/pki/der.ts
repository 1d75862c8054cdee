// The few DER encodings that no library of ours offers: tag, length, value (ITU-T X.690). Pure.

/** One element. `tag` is the whole identifier octet: 0x30 SEQUENCE, 0x31 SET, 0x04 OCTET STRING … */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), encodeLength(content.length), content])
}

export const derSequence = (...parts: readonly Uint8Array[]): Buffer => encodeDer(0x30, ...parts)

export const derOctetString = (bytes: Uint8Array): Buffer => encodeDer(0x04, bytes)

export const derBitString = (bytes: Uint8Array): Buffer => encodeDer(0x03, Buffer.of(0), bytes)

/** Not negative, below 2^31. */
export function derInteger(value: number): Buffer {
  const bytes = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
  while (bytes.length > 1 && bytes[0] === 0 && (bytes[1] ?? 0) < 128) bytes.shift()
  return encodeDer(0x02, Uint8Array.from(bytes))
}

/** `1.2.840.113549.1.5.13`; the first two arcs share an octet. */
export function derObjectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return encodeDer(0x06, Uint8Array.from([first * 40 + second, ...rest.flatMap(encodeBase128)]))
}

function encodeBase128(value: number): number[] {
  const septets = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    septets.unshift(128 + (rest % 128))
  }
  return septets
}

function encodeLength(length: number): Buffer {
  if (length < 128) return Buffer.of(length)
  const octets = Buffer.alloc(4)
  octets.writeUInt32BE(length)
  const used = octets.subarray(octets.findIndex((octet) => octet > 0))
  return Buffer.concat([Buffer.of(0x80 + used.length), used])
}
