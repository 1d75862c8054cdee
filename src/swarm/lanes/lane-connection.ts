// A connection whose socket a lane owns, seen from the network thread. Invariant: what the lane has told
// about received blocks is handed on whatever the state, since they are marked in shared memory; all
// other events end with close(). Buffers are given back when the lane has let go of them.
import { SiError, type Clock } from '../../core/core.ts'
import { type SlotPlace } from '../pieces/block-table.ts'
import { type Endpoint } from '../discovery/candidates.ts'
import {
  formatEndpoint,
  type Connection,
  type ConnectionOwner,
  type MessageOptions,
  type PayloadPart,
  type SendOptions,
} from '../connection/connection.ts'
import { decodeHandshake, encodeHandshake, type Handshake } from '../wire/handshake.ts'
import { type PayloadCount, type PeerSink, type ReceivedBlocks } from '../connection/intake.ts'
import { type PeerGuard } from '../connection/peer-guard.ts'
import { type LinkCommands, type LinkEvents } from './lane-protocol.ts'
import { type Slab } from '../pieces/slab.ts'
import { type FileSpan } from '../pieces/store.ts'
import { type UploadBuffer } from '../pieces/upload-buffers.ts'
import { decodeMessage, encodeMessages, type BlockRange, type WireMessage } from '../wire/wire.ts'

/** The way to the lane that has the socket. */
export interface LaneWay {
  /** Where commands go that are sent in this turn. */
  readonly commands: LinkCommands
  /** The number by which the lane knows the slab; it is used until the connection ends. */
  useSlab(slab: Slab): number
  /** The connection has ended. */
  leave(): void
}

export interface LaneConnectionSetup extends Endpoint {
  readonly isOutgoing: boolean
  readonly owner: ConnectionOwner
  readonly clock: Clock
  /** Ends a connection that no lane has yet; `onClosed` is to be called then. */
  readonly abort: () => void
  /** undefined: no TLS. */
  readonly guard: PeerGuard | undefined
}

export class LaneConnection implements Connection, LinkEvents {
  readonly isOutgoing: boolean
  readonly address: string
  readonly #clock: Clock
  readonly #abort: () => void
  readonly #guard: PeerGuard | undefined
  #remoteHost: string
  #owner: ConnectionOwner
  #way: LaneWay | undefined
  #sink: PeerSink | undefined
  readonly #unsent: SendOptions['onSent'][] = []
  #isClosed = false
  #error: Error | undefined
  #lastReceivedMs: number
  #lastSentMs: number

  constructor(setup: LaneConnectionSetup) {
    this.isOutgoing = setup.isOutgoing
    this.address = formatEndpoint(setup.host, setup.port)
    this.#remoteHost = setup.host
    this.#clock = setup.clock
    this.#owner = setup.owner
    this.#abort = setup.abort
    this.#guard = setup.guard
    this.#lastReceivedMs = this.#lastSentMs = setup.clock.monotonicMs()
  }

  /** The socket is connected and belongs to a lane from now on. */
  handedOver(way: LaneWay, remoteHost: string): void {
    this.#way = way
    this.#remoteHost = remoteHost
  }

  get remoteHost(): string {
    return this.#remoteHost
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get silentMs(): number {
    return this.#clock.monotonicMs() - this.#lastReceivedMs
  }

  get unsentMs(): number {
    return this.#clock.monotonicMs() - this.#lastSentMs
  }

  setOwner(owner: ConnectionOwner): void {
    this.#owner = owner
  }

  startMessages(sink: PeerSink, { slab, ...limits }: MessageOptions): void {
    this.#sink = sink
    const slabId = slab === undefined ? 0 : (this.#way?.useSlab(slab) ?? 0)
    this.#command()?.start(slabId, limits)
  }

  sendHandshake(handshake: Handshake): void {
    this.#command()?.write(encodeHandshake(handshake))
  }

  send(...messages: readonly WireMessage[]): void {
    this.#command()?.write(encodeMessages(messages))
  }

  request(range: BlockRange, place: SlotPlace | undefined): void {
    this.#command()?.request(range, place)
  }

  sendPayload(buffer: UploadBuffer, parts: readonly PayloadPart[], options: SendOptions): void {
    const commands = this.#command()
    if (commands === undefined) return options.onSent()
    this.#unsent.push(options.onSent)
    commands.sendPayload(buffer.index, parts, options.endsMessage)
  }

  sendFiles(head: BlockRange | undefined, spans: readonly FileSpan[], options: SendOptions): void {
    const commands = this.#command()
    if (commands === undefined) return options.onSent()
    this.#unsent.push(options.onSent)
    commands.sendFiles(head, spans, options.endsMessage)
  }

  close(error?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#error ??= error
    if (this.#way === undefined) this.#abort()
    else this.#way.commands.close()
  }

  #command(): LinkCommands | undefined {
    if (this.#isClosed) return undefined
    this.#lastSentMs = this.#clock.monotonicMs()
    return this.#way?.commands
  }

  onCertificates(certificates: readonly Uint8Array[]): void {
    this.#receive(() => {
      // Copies: these are views of what came from the lane.
      this.#guard?.admit(
        this,
        certificates.map((bytes) => Uint8Array.from(bytes)),
      )
      this.#command()?.letIn()
    })
  }

  onHandshake(bytes: Buffer): void {
    this.#receive(() => this.#owner.onHandshake(decodeHandshake(bytes)))
  }

  onEncodedMessage(bytes: Buffer): void {
    this.#receive((sink) => {
      const message = decodeMessage(bytes)
      if (message !== undefined) sink?.onMessage(message)
    })
  }

  onPayloadBegin(range: BlockRange, isExpected: boolean): void {
    this.#receive((sink) => sink?.onPayloadBegin(range, isExpected))
  }

  onBlocks(blocks: ReceivedBlocks): void {
    this.#sink?.onBlocks(blocks)
  }

  onPayload(payload: PayloadCount): void {
    this.#receive((sink) => sink?.onPayload(payload))
  }

  onPayloadEnd(): void {
    this.#receive((sink) => sink?.onPayloadEnd())
  }

  /** The lane has told all for now. */
  onDrained(): void {
    this.#receive((sink) => sink?.onDrained())
  }

  onSent(error: Error | undefined): void {
    this.#unsent.shift()?.(error)
  }

  onClosed(error: Error | undefined): void {
    this.#isClosed = true
    this.#guard?.leave(this)
    this.#way?.leave()
    for (const onSent of this.#unsent.splice(0)) onSent()
    this.#owner.onClose(this.#error ?? error)
  }

  #receive(handle: (sink: PeerSink | undefined) => void): void {
    if (this.#isClosed) return
    this.#lastReceivedMs = this.#clock.monotonicMs()
    try {
      handle(this.#sink)
    } catch (error) {
      // A peer's fault closes its connection; a fault of ours must not be hidden behind that.
      if (!(error instanceof SiError)) throw error
      this.close(error)
    }
  }
}
