// What a node tells si-server: how far it is, and its console. Invariant: reports arrive in order, and none holds up the
// installation but its last one, which is delivered; of the log, what could not be sent is sent with the next.
import { MAX_ERROR_CHARACTERS, MAX_MESSAGE_CHARACTERS } from '../../cluster/cluster.ts'
import { untilItWorks } from './back-off.ts'
import { request, ServerUnreachable, type ImageServer } from './server-request.ts'

export interface Report {
  readonly phase: string
  readonly percent: number | null
  readonly message: string
  readonly error?: string | undefined
  /** Of the error, and what to do about it. */
  readonly code?: string | undefined
  readonly hint?: string | undefined
}

export interface Reporter {
  /** How far it is. A report that is not sent yet gives way to the next one. */
  report(report: Report): void
  /** Tries until the server has it, or does not want it: then it says so. */
  deliver(report: Report): Promise<void>
  /** Appends to the log that the server keeps; sent soon. */
  log(text: string): void
  /** Sends what is left; once, and not for long. */
  flush(): Promise<void>
}

export interface ReporterContext {
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

const LOG_INTERVAL_MS = 2000
/** More of an unsent log would tell nothing new. */
const KEPT_LOG_CHARACTERS = 256 * 1024
const BUSY = 429

/** A report that is too long would be refused, and its news be lost. */
function shortened({ message, error, hint, ...report }: Report): Report {
  return {
    ...{ ...report, message: message.slice(0, MAX_MESSAGE_CHARACTERS) },
    ...{ error: error?.slice(0, MAX_ERROR_CHARACTERS) },
    ...{ hint: hint?.slice(0, MAX_MESSAGE_CHARACTERS) },
  }
}

/** Reports of a host; without a server or a name nothing is sent. */
export function createReporter(
  server: ImageServer | undefined,
  host: string | undefined,
  { say, signal }: ReporterContext,
): Reporter {
  if (server === undefined || host === undefined) return SILENT
  const send = createSender(server, host, signal)
  const sendReport = (report: Report) =>
    send('report', 'application/json', JSON.stringify(shortened(report)))
  const log = createLog((text) => send('log', 'text/plain; charset=utf-8', text))
  let next: Report | undefined
  let sending: Promise<void> | undefined
  const sendAll = async () => {
    for (let report = next; report !== undefined; report = next) {
      next = undefined
      await sendReport(report).catch(() => {})
    }
    sending = undefined
  }
  return {
    ...log,
    report(report) {
      next = report
      sending ??= sendAll()
    },
    async deliver(report) {
      next = undefined
      await sending
      const isTransient = (error: unknown) => error instanceof ServerUnreachable
      const sayWhy = (text: string) => say(`the last report is not delivered: ${text}`)
      const how = { isTransient, say: sayWhy, signal }
      const refusal = await untilItWorks(() => sendReport(report), how)
      if (refusal !== undefined) say(refusal)
    },
  }
}

/** Undefined when the server has it, otherwise why it does not want it. Throws ServerUnreachable, ERR_SI_UNTRUSTED. */
function createSender(server: ImageServer, host: string, signal: AbortSignal) {
  return async (what: 'report' | 'log', type: string, body: string) => {
    const path = `/v1/nodes/${encodeURIComponent(host)}/${what}`
    const headers = { 'content-type': type }
    const response = await request(server, path, { method: 'POST', body, headers, signal })
    if (response.ok) return undefined
    const reason = `${response.status} ${await response.text()}`
    const text = `${server.url} does not take the ${what}: ${reason}`
    if (response.status === BUSY) throw new ServerUnreachable(text)
    return text.slice(0, 500)
  }
}

function createLog(send: (text: string) => Promise<unknown>): Pick<Reporter, 'log' | 'flush'> {
  let unsent = ''
  let timer: NodeJS.Timeout | undefined
  const flush = async () => {
    clearTimeout(timer)
    timer = undefined
    const text = unsent
    unsent = ''
    if (text === '') return
    await send(text).catch(() => {
      unsent = (text + unsent).slice(-KEPT_LOG_CHARACTERS)
    })
  }
  return {
    flush,
    log(text) {
      unsent = (unsent + text).slice(-KEPT_LOG_CHARACTERS)
      timer ??= setTimeout(() => void flush(), LOG_INTERVAL_MS)
      timer.unref()
    },
  }
}

const SILENT: Reporter = {
  report() {},
  deliver: () => Promise.resolve(),
  log() {},
  flush: () => Promise.resolve(),
}
