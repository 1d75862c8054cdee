// A tar as it comes from the golden client, cut into its members. Invariant: every byte of a member is handed
// on as it came; what stands behind the last member is read to its end and dropped, so that the source can
// tell how it ended.
import { TarReader, type MemberPlace, type TarSource } from '../image/image.ts'

const READ_BYTES = 256 * 1024

export class MemberStream {
  readonly #source: TarSource
  readonly #members: MemberPlace[] = []
  readonly #tar = new TarReader({
    onMember: ({ path, start, end }) => {
      this.#members.push({ path: Buffer.from(path), start, end })
    },
    onEntry() {},
    onNote() {},
  })
  /** Bytes from `#position` on that were read and not handed on. */
  readonly #parts: Buffer[] = []
  #position = 0
  #isEnded = false

  constructor(source: TarSource) {
    this.#source = source
  }

  /** Path of the next member in latin1; undefined behind the last. Throws ERR_SI_TAR_FORMAT. */
  async peek(): Promise<string | undefined> {
    while (this.#members.length === 0) {
      if (!(await this.#read())) return undefined
    }
    return this.#members[0]?.path.toString('latin1')
  }

  /** The bytes of the next member, headers and padding included; to be taken to the end. */
  async *take(): AsyncGenerator<Uint8Array> {
    await this.peek()
    const member = this.#members.shift()
    if (member === undefined) return
    while (this.#position < member.end) {
      const part = this.#parts.shift()
      if (part === undefined) {
        await this.#read() // throws at an early end
        continue
      }
      const wanted = Math.min(part.length, member.end - this.#position)
      if (wanted < part.length) this.#parts.unshift(part.subarray(wanted))
      this.#position += wanted
      yield part.subarray(0, wanted)
    }
  }

  /** False at the end of the stream. */
  async #read(): Promise<boolean> {
    if (this.#isEnded) return false
    const bytes = Buffer.allocUnsafeSlow(READ_BYTES)
    const length = await this.#source.read(bytes)
    this.#isEnded = length === 0
    if (length === 0) {
      this.#tar.end()
      return false
    }
    const part = bytes.subarray(0, length)
    this.#parts.push(part)
    this.#tar.push(part)
    return true
  }
}
