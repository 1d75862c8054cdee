// Encrypted connections that others make to us: many clients try that before the plain way, some do nothing
// else. It hides the protocol and protects nothing, so we choose plain payload wherever it is offered, and
// never begin it ourselves. Invariant: memory is bounded by the longest greeting, and what begins in the plain
// way passes untouched.
// Spec: "Message Stream Encryption" (wiki.vuze.com), the part of the side that is connected to.
import { createDiffieHellman, createHash, type DiffieHellman } from 'node:crypto'
import { SiError } from '../../core/core.ts'
import { type InfoHash } from '../../torrent/torrent.ts'
import { PROTOCOL } from './handshake.ts'
import { createRc4, type StreamCipher } from './rc4.ts'

const PRIME =
  'ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74' +
  '020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437' +
  '4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563'
const KEY_BYTES = 96
const HASH_BYTES = 20
const MAX_PAD_BYTES = 512

/** What may come with the greeting: the handshake and perhaps the first messages. */
const MAX_INITIAL_BYTES = 4096

/** Eight zeros by which both sides see that they have the same key. */
const VERIFICATION = Buffer.alloc(8)

/** Bits of what is offered, values of what is chosen. */
const PLAIN_PAYLOAD = 1
const RC4_PAYLOAD = 2

export interface EncryptionOptions {
  /** Of our torrents: who greets encrypted tells only those that know it which one it wants. */
  readonly infoHashes: () => Iterable<InfoHash>
  readonly reply: (bytes: Buffer) => void
}

interface Ciphers {
  readonly encrypt: StreamCipher
  readonly decrypt: StreamCipher
}

interface Agreement {
  /** What came with the greeting. */
  readonly initial: Buffer
  /** Undefined when payload is plain. */
  readonly ciphers: Ciphers | undefined
}

/** Between one connection that was made to us and its socket. */
export class Encryption {
  readonly #greeting: Generator<number, Agreement, Buffer>
  #received = Buffer.alloc(0)
  #neededBytes: number
  #agreement: Agreement | undefined

  constructor(options: EncryptionOptions) {
    this.#greeting = answerGreeting(options)
    this.#neededBytes = this.#greeting.next().value as number
  }

  /**
   * What was received → what of it is plain BitTorrent: the same memory, once the greeting is over.
   * Throws ERR_SI_PROTOCOL.
   */
  receive(bytes: Uint8Array): Uint8Array {
    if (this.#agreement !== undefined) return this.#decrypted(bytes, this.#agreement)
    this.#received = Buffer.concat([this.#received, bytes])
    while (this.#received.length >= this.#neededBytes) {
      const taken = this.#received.subarray(0, this.#neededBytes)
      this.#received = this.#received.subarray(this.#neededBytes)
      const step = this.#greeting.next(taken)
      if (step.done === true) return this.#begin(step.value)
      this.#neededBytes = step.value
    }
    return Buffer.alloc(0)
  }

  /** What is sent and received is not what goes over the socket. */
  get isCiphering(): boolean {
    return this.#agreement?.ciphers !== undefined
  }

  /** What is to be sent → how it goes to the socket: the same memory when payload is plain. */
  send(bytes: Uint8Array): Uint8Array {
    const ciphers = this.#agreement?.ciphers
    if (ciphers === undefined) return bytes
    const encrypted = Buffer.allocUnsafe(bytes.length)
    ciphers.encrypt(bytes, encrypted)
    return encrypted
  }

  #begin(agreement: Agreement): Uint8Array {
    this.#agreement = agreement
    return Buffer.concat([agreement.initial, this.#decrypted(this.#received, agreement)])
  }

  #decrypted(bytes: Uint8Array, { ciphers }: Agreement): Uint8Array {
    ciphers?.decrypt(bytes, bytes)
    return bytes
  }
}

/** Yields how many bytes it needs next and is given exactly these. */
function* answerGreeting(options: EncryptionOptions): Generator<number, Agreement, Buffer> {
  const first = yield PROTOCOL.length
  refuseTls(first)
  if (first.equals(PROTOCOL)) return { initial: first, ciphers: undefined }
  const theirKey = Buffer.concat([first, yield KEY_BYTES - first.length])
  const secret = computeSecret(theirKey)
  options.reply(leftPadded(ourKeys().getPublicKey()))
  yield* findEndOfPad(hash('req1', secret))
  const infoHash = findTorrent(yield HASH_BYTES, secret, options.infoHashes())
  const ciphers: Ciphers = {
    decrypt: createRc4(hash('keyA', secret, infoHash)),
    encrypt: createRc4(hash('keyB', secret, infoHash)),
  }
  const { chosen, initial } = yield* readOffer(ciphers.decrypt)
  const noPad = [0, 0]
  const answer = Buffer.from([...VERIFICATION, 0, 0, 0, chosen, ...noPad])
  ciphers.encrypt(answer, answer)
  options.reply(answer)
  return { initial, ciphers: chosen === RC4_PAYLOAD ? ciphers : undefined }
}

/** A ClientHello (RFC 8446 §4.1.2, §5.1). A key that begins so by chance comes once in 2^40 connections. */
function refuseTls(first: Buffer): void {
  const isRecord = first[0] === 0x16 && first[1] === 3 && (first[2] ?? 0) <= 4
  if (!isRecord || first[5] !== 1 || first[6] !== 0 || first[9] !== 3) return
  const what = 'it uses TLS, which this swarm does not: use --tls on both sides or on none'
  throw new SiError('ERR_SI_UNTRUSTED', what)
}

function* readOffer(
  cipher: StreamCipher,
): Generator<number, { readonly chosen: number; readonly initial: Buffer }, Buffer> {
  const decrypted = (bytes: Buffer) => {
    cipher(bytes, bytes)
    return bytes
  }
  if (!decrypted(yield VERIFICATION.length).equals(VERIFICATION)) throw fault('its key is wrong')
  const offered = decrypted(yield 4).readUInt32BE()
  const padBytes = decrypted(yield 2).readUInt16BE()
  if (padBytes > MAX_PAD_BYTES) throw fault('its pad is too long')
  decrypted(yield padBytes)
  const initialBytes = decrypted(yield 2).readUInt16BE()
  if (initialBytes > MAX_INITIAL_BYTES) throw fault('it says too much')
  const chosen = [PLAIN_PAYLOAD, RC4_PAYLOAD].find((way) => (offered & way) !== 0)
  if (chosen === undefined) throw fault('it offers no way that is known')
  return { chosen, initial: decrypted(yield initialBytes) }
}

/** A pad of unknown length, at most 512 bytes, ends where `mark` stands. */
function* findEndOfPad(mark: Buffer): Generator<number, void, Buffer> {
  let window = yield mark.length
  for (let padBytes = 0; !window.equals(mark); padBytes++) {
    if (padBytes === MAX_PAD_BYTES) throw fault('it is another protocol')
    window = Buffer.concat([window.subarray(1), yield 1])
  }
}

function findTorrent(masked: Buffer, secret: Buffer, infoHashes: Iterable<InfoHash>): Buffer {
  const mask = hash('req3', secret)
  const wanted = masked.map((byte, index) => byte ^ (mask[index] ?? 0))
  for (const infoHash of infoHashes) {
    const bytes = Buffer.from(infoHash, 'hex')
    if (hash('req2', bytes).equals(wanted)) return bytes
  }
  throw fault('it wants a torrent that we do not have')
}

let keys: DiffieHellman | undefined

/** One pair for all connections: this hides a protocol, it protects no secret. */
function ourKeys(): DiffieHellman {
  if (keys === undefined) {
    keys = createDiffieHellman(PRIME, 'hex', 2)
    keys.generateKeys()
  }
  return keys
}

function computeSecret(theirKey: Buffer): Buffer {
  try {
    return leftPadded(ourKeys().computeSecret(theirKey))
  } catch (cause) {
    throw new SiError('ERR_SI_PROTOCOL', 'Peer sent an impossible key in its greeting', { cause })
  }
}

function leftPadded(number: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(KEY_BYTES - number.length), number])
}

function hash(word: string, ...parts: readonly Buffer[]): Buffer {
  const sha1 = createHash('sha1').update(word, 'latin1')
  for (const part of parts) sha1.update(part)
  return sha1.digest()
}

function fault(what: string): SiError {
  return new SiError(
    'ERR_SI_PROTOCOL',
    `Peer cannot be understood in its encrypted greeting: ${what}`,
  )
}
