// Reports of a deployment by hand to an image server, as an installation from the network makes them. Invariant: nothing
// that happens to a report changes the deployment: what the server does not take is told in a note.
import { hostname } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { formatDuration, isSiError, messageOf, type Progress } from '../core/core.ts'
import type { DeployReport } from '../deploy/deploy.ts'
import type { Credentials } from '../pki/pki.ts'

export const reportOption = () =>
  new Option(
    '--report <url>',
    'tell this image server how far it is, as the host of cluster.yaml that --host-name, or this machine, is called',
  )
    .env('SI_REPORT')
    .argParser(parseServerUrl)

export interface DeployReports {
  /** The given one, which the server hears of. */
  readonly progress: Progress
  /** The server has the host boot from its disk from now on. */
  done(report: DeployReport): Promise<void>
  failed(error: unknown): Promise<void>
}

/** How long the last report may take. */
const DELIVERY_MS = 15_000

/** Without a URL nothing is sent. */
export async function openReports(
  url: string | undefined,
  from: {
    readonly host: string | undefined
    readonly progress: Progress
    /** With https: what we show. */
    readonly credentials: Pick<Credentials, 'callOptions'> | undefined
  },
): Promise<DeployReports> {
  const { host = hostname(), progress, credentials } = from
  if (url === undefined) {
    return { progress, done: () => Promise.resolve(), failed: () => Promise.resolve() }
  }
  const { createReporter, reportingProgress } = await import('../netboot/netboot.ts')
  const { DONE_PHASE, FAILED_PHASE } = await import('../cluster/cluster.ts')
  const server = { url, callOptions: () => credentials?.callOptions() ?? {} }
  const stop = new AbortController()
  const say = (text: string) => progress.note(text)
  const reporter = createReporter(server, host, { say, signal: stop.signal })
  const deliver = async (report: Parameters<typeof reporter.deliver>[0]) => {
    const late = setTimeout(() => stop.abort(), DELIVERY_MS)
    await reporter
      .deliver(report)
      .catch((error: unknown) => say(`${url} has no report of the end: ${messageOf(error)}`))
    clearTimeout(late)
  }
  return {
    progress: reportingProgress(progress, reporter),
    async done({ image, durationMs, leftOut }) {
      const what = `${image.name}/${image.version} is installed, in ${formatDuration(durationMs)}`
      await deliver({ phase: DONE_PHASE, percent: 100, message: [what, ...leftOut].join('; ') })
    },
    async failed(error) {
      const message = messageOf(error)
      const facts = isSiError(error) ? { code: error.code, hint: error.hint } : {}
      await deliver({ phase: FAILED_PHASE, percent: null, message, error: message, ...facts })
    },
  }
}

function parseServerUrl(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text.replace(/\/+$/, '')
  throw new InvalidArgumentError('It must be an http URL, such as http://server:8080.')
}
