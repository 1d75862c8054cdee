// tar's output on its way into the image writer: a kernel pipe, read straight into the writer's shared
// memory. Invariant: the end of the stream is reported only after tar has ended well, so a stream cut
// short is an error and never an image. Spec: GNU tar manual, "Synopsis" (exit status).
import { close as closeFd, read as readFd } from 'node:fs'
import { promisify } from 'node:util'
import { messageOf, SiError } from '../core/core.ts'
import { pipe, type StartedProgram } from '../host/host.ts'
import type { TarSource } from '../image/image.ts'
import type { GoldenClient } from './golden-client.ts'
import { createTarMessageReader, type TarMessageReader, type TarMessages } from './tar-command.ts'

/** The largest pipe an ordinary system allows; fewer, larger reads. */
const PIPE_BYTES = 1024 * 1024

/** GNU tar: some files differ, that is, changed while they were read. */
const TAR_FILES_CHANGED = 1

const [read, close] = [promisify(readFd), promisify(closeFd)]

export interface TarStream {
  readonly source: TarSource
  /** What tar said, complete once `source` has ended. */
  messages(): TarMessages
  /** True when captured files changed or could not be read; complete once `source` has ended. */
  isPartial(): boolean
  /** Ends tar if it still runs and frees the pipe. */
  close(): Promise<void>
}

/**
 * Starts the tar script on the golden client. `source.read` throws ERR_SI_CAPTURE when tar fails,
 * ERR_SI_GOLDEN_CLIENT when the connection does, ERR_SI_ABORTED.
 */
export function openTarStream(
  client: GoldenClient,
  command: TarCommand,
  signal: AbortSignal,
): TarStream {
  return new PipedTar(client, command, signal)
}

export interface TarCommand {
  readonly script: string
  /** Member names, each ended by NUL. */
  readonly names: Iterable<Buffer>
  /** Directories that are mount points of what is not captured. */
  readonly strange: readonly string[]
}

class PipedTar implements TarStream {
  readonly source: TarSource = { read: (into) => this.#read(into) }
  readonly #client: GoldenClient
  readonly #reader: TarMessageReader
  readonly #abort = new AbortController()
  readonly #program: StartedProgram
  readonly #fd: number
  #reading: Promise<unknown> = Promise.resolve()
  #exitCode: number | undefined
  #closing: Promise<void> | undefined

  constructor(client: GoldenClient, command: TarCommand, signal: AbortSignal) {
    this.#client = client
    this.#reader = createTarMessageReader(new Set(command.strange))
    const ended = AbortSignal.any([signal, this.#abort.signal])
    const { program, fd } = startIntoPipe(client, command, ended)
    this.#program = program
    this.#fd = fd
    program.process.stderr?.on('data', (text: string) => this.#reader.push(text))
  }

  messages(): TarMessages {
    return this.#reader.end()
  }

  isPartial(): boolean {
    const { changedCount, indifferentCount, unread } = this.messages()
    const isUnexplained = this.#exitCode === TAR_FILES_CHANGED && indifferentCount === 0
    return isUnexplained || changedCount > 0 || unread.length > 0
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async #read(into: Uint8Array): Promise<number> {
    if (this.#exitCode !== undefined) return 0
    const reading = read(this.#fd, into, 0, into.length, null)
    this.#reading = reading
    const { bytesRead } = await reading
    if (bytesRead === 0) await this.#finish()
    return bytesRead
  }

  async #finish(): Promise<void> {
    const result = await this.#program.exited
    const failure = failureOf(this.#client, result, this.messages())
    if (failure !== undefined) throw failure
    this.#exitCode = result.exitCode
  }

  async #shutDown(): Promise<void> {
    this.#abort.abort()
    await this.#program.exited.catch(() => undefined) // why it ended was told to the reader
    await this.#reading.catch(() => undefined)
    await close(this.#fd)
  }
}

/** The program with the pipe's write end as its only holder, so that its end is the stream's end. */
function startIntoPipe(
  client: GoldenClient,
  { script, names }: TarCommand,
  signal: AbortSignal,
): { program: StartedProgram; fd: number } {
  const { readFd: fd, writeFd } = pipe(PIPE_BYTES)
  try {
    return { program: client.startScript(script, { stdout: writeFd, stdin: names }, signal), fd }
  } catch (error) {
    closeFd(fd)
    throw error
  } finally {
    closeFd(writeFd)
  }
}

function failureOf(
  client: GoldenClient,
  result: { readonly exitCode: number; readonly stderr: string },
  messages: TarMessages,
): SiError | undefined {
  const { exitCode } = result
  const isWell = exitCode === 0 || exitCode === TAR_FILES_CHANGED
  if (isWell && !messages.hasReadError) return undefined
  const transport = client.transportError(result)
  if (transport !== undefined) return transport
  const words = messages.errors.join('; ') || result.stderr.trim().split('\n').at(-1)
  return captureError(
    client,
    `tar ended with status ${exitCode}${words ? `: ${words}` : ''}`,
    result,
  )
}

/** ERR_SI_CAPTURE for this golden client. */
export function captureError(client: GoldenClient, why: string, cause: unknown): SiError {
  const text = cause instanceof Error ? `${why}: ${messageOf(cause)}` : why
  return new SiError('ERR_SI_CAPTURE', `Cannot capture ${client.description}: ${text}`, { cause })
}
