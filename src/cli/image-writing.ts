// What si-getimage and si-importimage have in common: options about the image that they write, and the run
// around it with progress and signer.
import { Option } from 'commander'
import type { CaptureReport } from '../capture/capture.ts'
import type { Progress } from '../core/core.ts'
import type { ImageVersion } from '../repository/repository.ts'
import type { Signer } from '../pki/pki.ts'
import { jsonOption, parseInteger, sizeOption, threadsOption } from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import type { Io } from './io.ts'
import { signerFrom, UNSIGNED_NOTE, type SignerFlags } from './trust-arguments.ts'

/** Eight compress as fast as one tar reads and one pipe carries. */
const MOST_THREADS = 8

export interface WritingFlags extends SignerFlags {
  readonly imageVersion?: string
  readonly pieceLength?: number
  readonly level: number
  readonly threads: number
  readonly json?: true
}

export const imageVersionOption = () =>
  new Option('--image-version <version>', 'version of the image (default: the time, in UTC)')

export const pieceLengthOption = () =>
  sizeOption('--piece-length <size>', 'piece length, a power of two', 'SI_PIECE_LENGTH')

export const levelOption = () =>
  new Option('--level <n>', 'zstd level').argParser(parseInteger(1, 19)).default(3)

export const workOptions = () => [threadsOption(MOST_THREADS), jsonOption()]

/** What the flags say of the image to be written. */
export interface Writing {
  readonly version?: ImageVersion
  readonly pieceLengthBytes?: number
  readonly zstdLevel: number
  readonly threads: number
  readonly sign: Signer['sign'] | undefined
}

/** Calls `write` with progress on `io`, which is at an end when this settles. */
export async function runWriting(
  run: { readonly command: string; readonly flags: WritingFlags; readonly io: Io },
  write: (writing: Writing, progress: Progress) => Promise<CaptureReport>,
): Promise<CaptureReport> {
  const { command, flags, io } = run
  const { parseImageVersion } = await import('../repository/repository.ts')
  const progress = createCommandProgress(io, { command, json: flags.json === true })
  try {
    const signer = await signerFrom(flags)
    if (signer === undefined && flags.sign) progress.note(UNSIGNED_NOTE)
    const writing: Writing = {
      ...(flags.imageVersion === undefined
        ? {}
        : { version: parseImageVersion(flags.imageVersion) }),
      ...(flags.pieceLength === undefined ? {} : { pieceLengthBytes: flags.pieceLength }),
      zstdLevel: flags.level,
      threads: flags.threads,
      sign: signer?.sign,
    }
    return await write(writing, progress)
  } finally {
    progress.end()
  }
}
