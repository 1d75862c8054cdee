// A disk that forgets: QEMU's storage daemon shows a file through FUSE, a loop device stands on that file, and
// every write and flush is logged in the order in which the disk was asked for it (qemu-storage-daemon(1),
// blklogwrites; the format is that of the kernel's dm-log-writes). From the log, the disk is made as a power
// cut could have left it: what was flushed is there, of the rest whatever the disk liked.
import { constants } from 'node:fs'
import { copyFile, open, truncate, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { attachLoop, type LoopDisk } from './loop-disk.ts'
import { startInLab } from './lab-program.ts'
import { waitFor, type Scope } from './scope.ts'

export interface ForgetfulDisk extends LoopDisk {
  /** Cuts the power now: the log so far, to make disks from. The disk itself goes on. */
  cutPower(name: string): Promise<PowerCut>
}

export interface PowerCut {
  /**
   * Makes the disk in a new file: everything up to the last flush, and of the later writes those for which
   * `survives` is true. Returns the path.
   */
  remains(survives: () => boolean): Promise<string>
}

const SECTOR_BYTES = 512
/** Room for the log; it takes only what is written to it. */
const LOG_FACTOR = 8
const START_DEADLINE_MS = 15_000

/** A new empty disk, all zeros. Needs root, /dev/fuse and qemu-storage-daemon. */
export async function createForgetfulDisk(
  scope: Scope,
  options: { readonly name: string; readonly sizeBytes: number },
): Promise<ForgetfulDisk> {
  const { name, sizeBytes } = options
  const at = (suffix: string) => join(scope.directory, `${name}.${suffix}`)
  const [disk, log, shown] = [at('data'), at('log'), at('shown')]
  await writeFile(disk, '')
  await truncate(disk, sizeBytes)
  await writeFile(log, '')
  await truncate(log, sizeBytes * LOG_FACTOR)
  await writeFile(shown, '')
  const daemon = startInLab(scope, name, {
    program: 'qemu-storage-daemon',
    args: [
      ...['--blockdev', `driver=file,node-name=disk,filename=${disk}`],
      ...['--blockdev', `driver=file,node-name=log,filename=${log}`],
      '--blockdev',
      `driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=${SECTOR_BYTES}`,
      ...['--export', `type=fuse,id=shown,node-name=logged,mountpoint=${shown},writable=on`],
    ],
  })
  const isShown = async () => {
    await using file = await open(shown, 'r')
    return (await file.stat()).size === sizeBytes
  }
  await waitFor(`the disk ${name}: ${daemon.lastWords()}`, isShown, {
    ...{ deadlineMs: START_DEADLINE_MS, signal: scope.signal },
  })
  const loop = await attachLoop(scope, shown, sizeBytes)
  return {
    ...loop,
    async cutPower(cutName) {
      const path = at(`${cutName}.log`)
      await copyFile(log, path, constants.COPYFILE_FICLONE)
      return { remains: (survives) => replay({ path, sizeBytes, into: at(cutName), survives }) }
    },
  }
}

/** Flags of an entry. */
const FLUSH = 1
const DISCARD = 4

interface LogEntry {
  readonly isFlush: boolean
  readonly isDiscard: boolean
  /** On the disk. */
  readonly offsetBytes: number
  readonly lengthBytes: number
  /** Of its data in the log; a discard has none. */
  readonly dataOffset: number
}

async function replay(options: {
  readonly path: string
  readonly sizeBytes: number
  readonly into: string
  readonly survives: () => boolean
}): Promise<string> {
  await using log = await open(options.path, 'r')
  const entries: LogEntry[] = []
  for await (const entry of readEntries(log)) entries.push(entry)
  const lastFlush = entries.findLastIndex(({ isFlush }) => isFlush)
  await writeFile(options.into, '')
  await using disk = await open(options.into, 'r+')
  await disk.truncate(options.sizeBytes)
  for (const [index, entry] of entries.entries()) {
    if (entry.isFlush) continue
    if (index > lastFlush && !options.survives()) continue
    const bytes = Buffer.alloc(entry.lengthBytes)
    if (!entry.isDiscard) await log.read(bytes, 0, bytes.length, entry.dataOffset)
    await disk.write(bytes, 0, bytes.length, entry.offsetBytes)
  }
  return options.into
}

/** One sector for the log itself, then entries, each a sector and its data; zeros after the last. */
async function* readEntries(log: FileHandle): AsyncGenerator<LogEntry> {
  const head = Buffer.alloc(32)
  for (let at = SECTOR_BYTES; ;) {
    await log.read(head, 0, head.length, at)
    const [sector, sectors, flags] = [0, 8, 16].map((from) => Number(head.readBigUInt64LE(from)))
    if (sector === undefined || sectors === undefined || flags === undefined) return
    if (sectors === 0 && flags === 0) return
    const isDiscard = (flags & DISCARD) !== 0
    const lengthBytes = sectors * SECTOR_BYTES
    const dataOffset = at + SECTOR_BYTES
    const offsetBytes = sector * SECTOR_BYTES
    const isFlush = sectors === 0 && (flags & FLUSH) !== 0
    yield { isFlush, isDiscard, offsetBytes, lengthBytes, dataOffset }
    at = dataOffset + (isDiscard ? 0 : lengthBytes)
  }
}
