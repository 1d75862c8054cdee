// The compressed pieces of a running deployment, kept for the neighbours: in RAM up to a budget, the rest
// in one unlinked file on the target, which vanishes with the process whatever ends it.
// Invariant: a piece is readable from the moment its worker has said so, and never changes.
import { closeSync, constants, openSync, read, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { SiError } from '../core/core.ts'
import { isCached, memfdCreate } from '../host/host.ts'
import type { PieceStore } from '../swarm/swarm.ts'
import { targetError } from './target-error.ts'
import { writeFully } from './write-fully.ts'

/** What workers need to store pieces; goes through the thread boundary. */
export interface PieceCacheShare {
  readonly pieceLengthBytes: number
  readonly memoryFd: number
  readonly memorySlots: number
  /** Slot of each piece, -1 while it has none. */
  readonly slotOfPiece: Int32Array
  /** One number: the slots given out. */
  readonly slotsUsed: Int32Array
  /** One number: descriptor of the file on the target, -1 while there is none. */
  readonly spillFd: Int32Array
}

export interface PieceCache extends PieceStore {
  readonly share: PieceCacheShare
  /**
   * Opens the file that takes what exceeds the RAM; `directory` is on the target. close() lets go of it,
   * so that the target can be unmounted. Throws ERR_SI_TARGET_FULL, ERR_SI_DEPLOY.
   */
  openSpill(directory: string): void
}

/** Images may hold no entry of this name in their root. */
export const SPILL_NAME = '.swarmimager-pieces'

export function createPieceCache(options: {
  readonly pieceLengthBytes: number
  readonly pieceCount: number
  /** At least the manifest's pieces, which come before there is a target. */
  readonly memorySlots: number
}): PieceCache {
  const { pieceLengthBytes, pieceCount, memorySlots } = options
  const memoryFd = memfdCreate('swarmimager-pieces')
  const share: PieceCacheShare = {
    pieceLengthBytes,
    memoryFd,
    memorySlots,
    slotOfPiece: new Int32Array(new SharedArrayBuffer(4 * pieceCount)).fill(-1),
    slotsUsed: new Int32Array(new SharedArrayBuffer(4)),
    spillFd: new Int32Array(new SharedArrayBuffer(4)).fill(-1),
  }
  let isClosed = false
  const openOnly = <T>(use: () => T | Promise<T>): Promise<T> =>
    new Promise((resolve) => {
      if (isClosed) throw new SiError('ERR_SI_ABORTED', 'The kept pieces are gone with the target')
      resolve(use())
    })
  return {
    share,
    openSpill(directory) {
      const path = join(directory, SPILL_NAME)
      const { O_CREAT, O_EXCL, O_RDWR } = constants
      try {
        rmSync(path, { force: true }) // of a deployment that was killed just here
        Atomics.store(share.spillFd, 0, openSync(path, O_CREAT | O_EXCL | O_RDWR, 0o600))
        rmSync(path)
      } catch (error) {
        throw targetError(path, error)
      }
    },
    locate: (piece, offset, lengthBytes) =>
      openOnly(() => {
        const { fd, position } = place(share, piece)
        const isMemory = fd === share.memoryFd
        const span = { fd, positionBytes: position + offset, lengthBytes, isMemory }
        return isMemory || isCached(fd, span) ? [span] : undefined
      }),
    read: (piece, offset, into) => openOnly(() => readFully(place(share, piece), offset, into)),
    close() {
      if (!isClosed) {
        isClosed = true
        const spillFd = Atomics.exchange(share.spillFd, 0, -1)
        if (spillFd >= 0) closeSync(spillFd)
        closeSync(memoryFd)
      }
      return Promise.resolve()
    },
  }
}

/** Keeps a verified piece; called by workers, once per piece. */
export function storePiece(share: PieceCacheShare, piece: number, bytes: Uint8Array): void {
  if ((share.slotOfPiece[piece] ?? -1) >= 0) return
  const slot = Atomics.add(share.slotsUsed, 0, 1)
  const { fd, position } = placeOfSlot(share, slot)
  writeFully(fd, bytes, position)
  Atomics.store(share.slotOfPiece, piece, slot)
}

/** Reads the beginning of a kept piece; called by workers. */
export function readPieceSync(share: PieceCacheShare, piece: number, into: Uint8Array): void {
  const { fd, position } = place(share, piece)
  for (let done = 0; done < into.length;) {
    const bytesRead = readSync(fd, into, done, into.length - done, position + done)
    if (bytesRead === 0) throw shortened()
    done += bytesRead
  }
}

interface Place {
  readonly fd: number
  readonly position: number
}

function place(share: PieceCacheShare, piece: number): Place {
  const slot = Atomics.load(share.slotOfPiece, piece)
  if (slot < 0) throw new SiError('ERR_SI_INTERNAL', `Piece ${piece} is not kept`)
  return placeOfSlot(share, slot)
}

function placeOfSlot(share: PieceCacheShare, slot: number): Place {
  const { memorySlots, memoryFd, pieceLengthBytes } = share
  if (slot < memorySlots) return { fd: memoryFd, position: slot * pieceLengthBytes }
  const fd = Atomics.load(share.spillFd, 0)
  if (fd < 0) throw new SiError('ERR_SI_ABORTED', 'The kept pieces are gone with the target')
  return { fd, position: (slot - memorySlots) * pieceLengthBytes }
}

const readAt = promisify(read)

async function readFully(from: Place, offset: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length;) {
    const position = from.position + offset + done
    const { bytesRead } = await readAt(from.fd, into, done, into.length - done, position)
    if (bytesRead === 0) throw shortened()
    done += bytesRead
  }
}

function shortened(): SiError {
  return new SiError('ERR_SI_INTERNAL', 'A kept piece is shorter than it was')
}
