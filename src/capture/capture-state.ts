// What a capture remembers beside its image, so that the next one need not read again what has not changed: for
// each file the golden client's inode and change time, and where its member lies in the image's tar. Not a
// part of the image: it stays in the repository, and without it the next capture just reads everything.
// Format: JSON lines under zstd; a header, then one array per file. Spec: FORMAT.md §7.
import { createReadStream, createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import { createZstdCompress, createZstdDecompress } from 'node:zlib'
import { z } from 'zod'
import { CAPTURE_STATE_FILE } from '../image/image.ts'

const headerSchema = z.strictObject({
  format: z.literal('swarmimager-capture-state'),
  formatVersion: z.literal(1),
})
const HEADER = { format: 'swarmimager-capture-state', formatVersion: 1 } as const

const count = z.int().nonnegative()
const recordSchema = z.tuple([
  z.string(),
  z.string().regex(/^\d{1,20}$/),
  z.string().regex(/^-?\d{1,20}$/),
  count,
  z.int().positive(),
  count,
  count,
])

export interface FileState {
  /** In latin1, without leading `./`. */
  readonly path: string
  readonly inode: bigint
  readonly ctimeNs: bigint
  readonly sizeBytes: number
  /** Names of the same file in the image. */
  readonly nameCount: number
  /** Of its member in the tar. */
  readonly start: number
  readonly end: number
}

export interface StateWriter {
  add(state: FileState): void
  /** Resolves when the file is written, not yet on the disk. Idempotent. */
  close(): Promise<void>
}

const PORTION_BYTES = 256 * 1024

/** Makes the file in an image's folder. */
export function createStateWriter(directory: string): StateWriter {
  const zstd = createZstdCompress()
  const file = createWriteStream(join(directory, CAPTURE_STATE_FILE), { flags: 'wx' })
  const written = finished(zstd.pipe(file))
  written.catch(() => {}) // told by close()
  zstd.on('error', (error) => file.destroy(error))
  file.on('error', (error) => zstd.destroy(error))
  let lines = `${JSON.stringify(HEADER)}\n`
  const flush = () => {
    if (!zstd.destroyed) zstd.write(lines)
    lines = ''
  }
  let closed: Promise<void> | undefined
  const close = async () => {
    flush()
    zstd.end()
    await written
  }
  return {
    add({ path, inode, ctimeNs, sizeBytes, nameCount, start, end }) {
      const record = [path, String(inode), String(ctimeNs), sizeBytes, nameCount, start, end]
      lines += `${JSON.stringify(record)}\n`
      if (lines.length >= PORTION_BYTES) flush()
    },
    close: () => (closed ??= close()),
  }
}

/** Reads the file of an image's folder; undefined when there is none that can be understood. */
export async function readState(
  directory: string,
): Promise<ReadonlyMap<string, FileState> | undefined> {
  const file = createReadStream(join(directory, CAPTURE_STATE_FILE))
  const zstd = createZstdDecompress()
  file.on('error', (error) => zstd.destroy(error))
  zstd.on('error', () => {}) // also where nobody has begun to read
  const states = new Map<string, FileState>()
  let isHeader = true
  try {
    await once(file, 'open')
    for await (const line of createInterface({ input: file.pipe(zstd), crlfDelay: Infinity })) {
      const value: unknown = JSON.parse(line)
      if (isHeader) headerSchema.parse(value)
      else addState(states, recordSchema.parse(value))
      isHeader = false
    }
  } catch {
    return undefined // it only saves time
  } finally {
    file.destroy()
    zstd.destroy()
  }
  return isHeader ? undefined : states
}

function addState(states: Map<string, FileState>, record: z.infer<typeof recordSchema>): void {
  const [path, inode, ctimeNs, sizeBytes, nameCount, start, end] = record
  const numbers = { inode: BigInt(inode), ctimeNs: BigInt(ctimeNs) }
  states.set(path, { path, ...numbers, sizeBytes, nameCount, start, end })
}
