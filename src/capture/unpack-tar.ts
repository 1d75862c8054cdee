// A tar by whoever made it, unpacked by the distribution's tar. Invariant: nothing is created outside of the
// fresh directory: tar strips leading slashes, refuses "..", and makes links that lead out only after
// everything else, which holds for one archive in one empty directory (GNU tar manual, "Security").
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { SiError } from '../core/core.ts'
import { start, type StartedProgram } from '../host/host.ts'

export interface UnpackOptions {
  /** For messages: `/srv/web.tar.gz`, `standard input`. */
  readonly description: string
  /** Exists and is empty. */
  readonly directory: string
  /** A file with names of members that are passed over, one a line. */
  readonly leftOutFile?: string | undefined
  /** Hears of the uncompressed archive. */
  readonly onPlain?: ((bytes: Uint8Array) => void) | undefined
  readonly signal: AbortSignal
}

const EXTRACT = [
  ...['--extract', '--file=-', '--numeric-owner', '--same-owner', '--preserve-permissions'],
  ...['--xattrs', '--xattrs-include=*', '--acls', '--selinux', '--delay-directory-restore'],
  ...['--warning=no-timestamp', '--warning=no-unknown-keyword'],
]

/** First bytes of compressed streams, and what decompresses them. */
const COMPRESSIONS = [
  { magic: '1f8b', program: 'gzip' },
  { magic: '28b52ffd', program: 'zstd' },
  { magic: '502a4d18', program: 'zstd' }, // a skippable frame, which eStargz-like writers put first
  { magic: 'fd377a585a00', program: 'xz' },
  { magic: '425a68', program: 'bzip2' },
] as const

const MAGIC_BYTES = 6

/** Resolves to what tar remarked. Throws ERR_SI_TAR_FORMAT, ERR_SI_PROGRAM_MISSING, ERR_SI_ABORTED. */
export async function unpackTar(
  source: AsyncIterable<Uint8Array>,
  options: UnpackOptions,
): Promise<readonly string[]> {
  const { description, directory, signal } = options
  const { head, rest } = await peek(source)
  if (head.length === 0) throw unpackError(description, 'it is empty')
  const found = COMPRESSIONS.find(({ magic }) => head.toString('hex').startsWith(magic))
  const env = { TAR_OPTIONS: '', GZIP: '', XZ_DEFAULTS: '', XZ_OPT: '' }
  const ended = new AbortController()
  const ending = AbortSignal.any([signal, ended.signal])
  const begin = (program: string, args: readonly string[]) =>
    start(program, args, { stdio: 'pipe', signal: ending, env })
  const leftOut = options.leftOutFile
    ? ['--anchored', '--no-wildcards', `--exclude-from=${options.leftOutFile}`]
    : []
  const tar = begin('tar', [...EXTRACT, ...leftOut, '--directory', directory])
  tar.process.stdout?.resume()
  try {
    if (found === undefined) {
      await feed(rest, tar, options.onPlain)
    } else {
      const unzip = begin(found.program, ['-dc'])
      const plain = unzip.process.stdout as AsyncIterable<Uint8Array> | null
      await Promise.all([feed(rest, unzip), feed(plain ?? [], tar, options.onPlain)])
      await outcomeOf(unzip, found.program, description)
    }
    return await outcomeOf(tar, 'tar', description)
  } finally {
    ended.abort()
    await tar.exited.catch(() => {})
  }
}

async function outcomeOf(
  program: StartedProgram,
  name: string,
  description: string,
): Promise<readonly string[]> {
  const { exitCode, stderr } = await program.exited
  const lines = stderr.split('\n').filter(Boolean)
  if (exitCode === 0) return lines
  const words = lines.filter((line) => !/Exiting with failure status/.test(line)).slice(0, 3)
  throw unpackError(description, words.join('; ') || `${name} ended with status ${exitCode}`)
}

/** ERR_SI_TAR_FORMAT for this archive. */
export function unpackError(description: string, why: string): SiError {
  return new SiError('ERR_SI_TAR_FORMAT', `Cannot unpack ${description}: ${why}`)
}

/** Reads all of `source`, also what the program no longer wants: its end is its own business. */
async function feed(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  program: StartedProgram,
  onBytes?: (bytes: Uint8Array) => void,
): Promise<void> {
  const stdin = program.process.stdin as Writable
  const closed = new Promise<void>((resolve) => stdin.once('close', resolve))
  stdin.on('error', () => {}) // it ended early; its status tells why
  for await (const bytes of source) {
    onBytes?.(bytes)
    if (stdin.destroyed || stdin.write(bytes)) continue
    await Promise.race([once(stdin, 'drain').catch(() => {}), closed])
  }
  stdin.end()
}

/** The first bytes, and a stream of everything. */
async function peek(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]()
  const parts: Uint8Array[] = []
  let bytes = 0
  while (bytes < MAGIC_BYTES) {
    const next = await iterator.next()
    if (next.done === true) break
    parts.push(next.value)
    bytes += next.value.length
  }
  const rest = async function* () {
    yield* parts
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { head: Buffer.concat(parts).subarray(0, MAGIC_BYTES), rest: rest() }
}
