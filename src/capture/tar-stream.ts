// tar's output on its way into the image writer: a kernel pipe, read straight into the writer's shared
// memory. Invariant: the end of the stream is reported only after tar has ended well, so a stream cut
// short is an error and never an image. Spec: GNU tar manual, "Synopsis" (exit status).
import { close as closeFd, read as readFd } from 'node:fs'
import { promisify } from 'node:util'
import { messageOf, SiError } from '../core/core.ts'
import { pipe, type StartedProgram } from '../host/host.ts'
import type { TarSource } from '../image/image.ts'
import type { GoldenClient } from './golden-client.ts'
import { createTarMessageReader, type TarMessages } from './tar-command.ts'

/** The largest pipe an ordinary system allows; fewer, larger reads. */
const PIPE_BYTES = 1024 * 1024

/** GNU tar: some files differ, that is, changed while they were read. */
const TAR_FILES_CHANGED = 1

export interface TarStream {
  readonly source: TarSource
  /** What tar said, complete once `source` has ended. */
  messages(): TarMessages
  /** True when tar reported files that changed; complete once `source` has ended. */
  hasChangedFiles(): boolean
  /** Ends tar if it still runs and frees the pipe. */
  close(): Promise<void>
}

/**
 * Starts the tar script on the golden client. `source.read` throws ERR_SI_CAPTURE when tar fails,
 * ERR_SI_GOLDEN_CLIENT when the connection does, ERR_SI_ABORTED.
 */
export function openTarStream(
  client: GoldenClient,
  script: string,
  signal: AbortSignal,
): TarStream {
  const abort = new AbortController()
  const ended = AbortSignal.any([signal, abort.signal])
  const { program, fd } = startIntoPipe(client, script, ended)
  const reader = createTarMessageReader()
  program.process.stderr?.on('data', (text: string) => reader.push(text))
  let exitCode: number | undefined
  const read = promisify(readFd)
  let reading: Promise<unknown> = Promise.resolve()

  const finish = async () => {
    const result = await program.exited
    const failure = failureOf(client, result, reader.end())
    if (failure !== undefined) throw failure
    exitCode = result.exitCode
  }
  let isClosed = false
  return {
    source: {
      async read(into) {
        if (exitCode !== undefined) return 0
        const reads = read(fd, into, 0, into.length, null)
        reading = reads
        const { bytesRead } = await reads
        if (bytesRead === 0) await finish()
        return bytesRead
      },
    },
    messages: () => reader.end(),
    hasChangedFiles: () => exitCode === TAR_FILES_CHANGED,
    async close() {
      if (isClosed) return
      isClosed = true
      abort.abort()
      await program.exited.catch(() => undefined) // why it ended was told to the reader
      await reading.catch(() => undefined)
      await promisify(closeFd)(fd)
    },
  }
}

/** The program with the pipe's write end as its only holder, so that its end is the stream's end. */
function startIntoPipe(
  client: GoldenClient,
  script: string,
  signal: AbortSignal,
): { program: StartedProgram; fd: number } {
  const { readFd: fd, writeFd } = pipe(PIPE_BYTES)
  try {
    return { program: client.startScript(script, writeFd, signal), fd }
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
  if (exitCode === 0 || exitCode === TAR_FILES_CHANGED) return undefined
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
