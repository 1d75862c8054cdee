// Reads again what the journal of an interrupted deployment says is on the target. A disk may have lost
// what it had said was written; pieces whose data is not there are fetched again.
import { type Progress } from '../core/core.ts'
import type { Download } from './download.ts'
import type { Journal } from './journal.ts'

/** Few enough that progress moves and an interrupt is soon heard, enough that workers never wait. */
const PIECES_PER_TASK = 4
const TASKS_AT_ONCE = 8

/** What an interrupted deployment had left on the target. */
export interface Resumed {
  /** Pieces that are there. */
  readonly pieces: number
  /** Pieces that the journal names and that are not. */
  readonly lostPieces: number
}

/** Takes lost pieces out of the journal. Throws what the signal was aborted with. */
export async function checkRecorded(options: {
  readonly download: Download
  readonly journal: Journal
  readonly pieceLengthBytes: number
  readonly progress: Progress
  readonly signal: AbortSignal
}): Promise<Resumed> {
  const { download, journal, pieceLengthBytes, progress, signal } = options
  const recorded = [...journal.pieces]
  if (recorded.length === 0) return { pieces: 0, lostPieces: 0 }
  let at = 0
  let checkedPieces = 0
  let lostPieces = 0
  const show = () =>
    progress.update({
      phase: 'checking what is there',
      doneBytes: checkedPieces * pieceLengthBytes,
      totalBytes: recorded.length * pieceLengthBytes,
    })
  const checkSome = async () => {
    while (at < recorded.length) {
      signal.throwIfAborted()
      const some = recorded.slice(at, (at += PIECES_PER_TASK))
      const lost = await download.runTask('findLost', some)
      for (const piece of lost) journal.forget(piece)
      checkedPieces += some.length
      lostPieces += lost.length
      show()
    }
  }
  show()
  await Promise.all(Array.from({ length: TASKS_AT_ONCE }, checkSome))
  const pieces = journal.pieces.size
  progress.note(`going on: ${pieces} pieces are there already`)
  if (lostPieces > 0) {
    progress.note(`${lostPieces} pieces that were written are not there and are fetched again`)
  }
  return { pieces, lostPieces }
}
