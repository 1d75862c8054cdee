// One connection on the thread of its lane: the commands of the network thread go to the socket, what comes
// from the socket goes to the network thread. Invariant: after the event that it has closed, nothing more.
import { Socket } from 'node:net'
import { systemClock } from '../../core/core.ts'
import { type SlotPlace } from '../pieces/block-table.ts'
import { type ConnectionOwner, type PayloadPart } from '../connection/connection.ts'
import { encodeHandshake, type Handshake } from '../wire/handshake.ts'
import {
  type IntakeSlots,
  type PayloadCount,
  type PeerSink,
  type ReceivedBlocks,
} from '../connection/intake.ts'
import { type FileSpan } from '../pieces/store.ts'
import { type Talker } from './lane-pressure.ts'
import { type Adoption, type LinkCommands, type LinkEvents } from './lane-protocol.ts'
import { TcpConnection } from '../connection/tcp-connection.ts'
import { type TlsTerms } from '../connection/tcp-setup.ts'
import { type UploadBuffer } from '../pieces/upload-buffers.ts'
import { encodeMessage, type BlockRange, type WireLimits, type WireMessage } from '../wire/wire.ts'

/** What a connection needs of its lane. */
export interface LinkSetup {
  readonly events: LinkEvents
  readonly slab: (slabId: number) => IntakeSlots | undefined
  readonly buffer: (index: number) => UploadBuffer
  /** Payload has come, or begins to; report() is to be called after a while. */
  readonly onUntold: () => void
  /** Something was put into `events`, to be told at once unless it can wait for the next report(). */
  readonly onTold: (how?: { readonly canWait: boolean }) => void
  readonly onEnded: () => void
  readonly tls: LaneTerms | undefined
}

/** What a lane needs to know of TLS; who may come in is for the network thread to say. */
export type LaneTerms = Pick<TlsTerms, 'context' | 'allowsPlain'>

export class LaneLink implements LinkCommands, ConnectionOwner, PeerSink, Talker {
  readonly #setup: LinkSetup
  readonly #connection: TcpConnection
  #blocks: ReceivedBlocks | undefined
  #bytes = 0
  #usedBytes = 0
  #wastedBytes = 0

  constructor({ fd, infoHashes }: Adoption, setup: LinkSetup) {
    this.#setup = setup
    this.#connection = new TcpConnection({
      ...{ host: '', port: 0, isOutgoing: infoHashes === undefined, owner: this },
      clock: systemClock,
      infoHashes: infoHashes && (() => infoHashes),
      tls: setup.tls && {
        ...setup.tls,
        onCertificates: (_, certificates) => {
          setup.events.onCertificates(certificates)
          setup.onTold()
        },
        onGone: () => {},
      },
      open: ({ onread }) => new Socket({ fd, readable: true, writable: true, onread }).resume(),
    })
  }

  start(slabId: number, limits: WireLimits): void {
    this.#connection.startMessages(this, { ...limits, slab: this.#setup.slab(slabId) })
  }

  write(bytes: Uint8Array): void {
    this.#connection.write(bytes)
  }

  request(range: BlockRange, place: SlotPlace | undefined): void {
    this.#connection.request(range, place)
  }

  sendPayload(bufferIndex: number, parts: readonly PayloadPart[], endsMessage: boolean): void {
    this.#connection.sendPayload(this.#setup.buffer(bufferIndex), parts, {
      endsMessage,
      onSent: (error) => this.#tellSent(error),
    })
  }

  sendFiles(head: BlockRange | undefined, spans: readonly FileSpan[], endsMessage: boolean): void {
    this.#connection.sendFiles(head, spans, {
      endsMessage,
      onSent: (error) => this.#tellSent(error),
    })
  }

  #tellSent(error: Error | undefined): void {
    if (this.#connection.isClosed) return // the end of the connection tells of all at once
    this.#setup.events.onSent(error)
    this.#setup.onTold()
    if (error !== undefined) this.#connection.close()
  }

  letIn(): void {
    this.#connection.letIn()
  }

  close(): void {
    this.#connection.close()
  }

  pause(): void {
    this.#connection.pause()
  }

  resume(): void {
    this.#connection.resume()
  }

  onHandshake(handshake: Handshake): void {
    this.#setup.events.onHandshake(encodeHandshake(handshake))
    this.#setup.onTold()
  }

  onMessage(message: WireMessage): void {
    this.report()
    this.#setup.events.onEncodedMessage(encodeMessage(message))
    this.#setup.onTold()
  }

  onPayloadBegin(range: BlockRange, isExpected: boolean): void {
    this.#setup.events.onPayloadBegin(range, isExpected)
    this.#setup.onTold({ canWait: true })
    this.#setup.onUntold()
  }

  onBlocks(blocks: ReceivedBlocks): void {
    const last = this.#blocks
    const isNext = last?.end === blocks.first && last.pieceIndex === blocks.pieceIndex
    if (last === undefined || !isNext || last.generation !== blocks.generation) {
      this.#tellBlocks()
      this.#blocks = blocks
    } else {
      this.#blocks = { ...last, end: blocks.end }
    }
  }

  onPayload({ bytes, usedBytes, wastedBytes }: PayloadCount): void {
    this.#bytes += bytes
    this.#usedBytes += usedBytes
    this.#wastedBytes += wastedBytes
    this.#setup.onUntold()
  }

  onPayloadEnd(): void {
    this.report()
    this.#setup.events.onPayloadEnd()
    this.#setup.onTold()
  }

  onDrained(): void {
    // Said by the end of a batch.
  }

  onClose(error: Error | undefined): void {
    this.report()
    this.#setup.events.onClosed(error)
    this.#setup.onTold()
    this.#setup.onEnded()
  }

  /** Tells of the payload that has come and was not told of yet. */
  report(): void {
    this.#tellBlocks()
    if (this.#bytes === 0) return
    const [usedBytes, wastedBytes] = [this.#usedBytes, this.#wastedBytes]
    this.#setup.events.onPayload({ bytes: this.#bytes, usedBytes, wastedBytes })
    this.#bytes = this.#usedBytes = this.#wastedBytes = 0
    this.#setup.onTold()
  }

  #tellBlocks(): void {
    if (this.#blocks === undefined) return
    this.#setup.events.onBlocks(this.#blocks)
    this.#blocks = undefined
    this.#setup.onTold({ canWait: true })
  }
}
