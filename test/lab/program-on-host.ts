// Programs that run on a host of the lab's network.
import { run } from '../../src/host/host.ts'
import { startInLab, type LabProgram, type LabProgramOptions } from './lab-program.ts'
import { type NetworkHost, onHost } from './network.ts'
import { type Scope, waitFor } from './scope.ts'

/** Starts a program on a host. It is ended when the scope ends. */
export function startOnHost(
  scope: Scope,
  host: NetworkHost,
  options: LabProgramOptions,
): LabProgram {
  const [program, args] = onHost(host, options.program, options.args)
  return startInLab(scope, host.name, { ...options, program, args })
}

/** Runs a program on a host to its end; its standard output. Throws as `run` does. */
export async function runOnHost(
  scope: Scope,
  host: NetworkHost,
  options: LabProgramOptions,
): Promise<string> {
  const [program, args] = onHost(host, options.program, options.args)
  return (await run(program, args, { signal: scope.signal })).stdout
}

const HTTP_DEADLINE_MS = 20_000
const FETCH = `fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))`

/** Waits until a URL answers with success, asked from this host; throws when its server has ended. */
export async function waitForHttp(
  scope: Scope,
  from: NetworkHost,
  url: string,
  server: LabProgram,
): Promise<void> {
  let endedWith: number | undefined
  server.exited.then(
    (exitCode) => (endedWith = exitCode),
    () => {},
  )
  await waitFor(
    `an answer of ${url}`,
    async () => {
      if (endedWith !== undefined) {
        throw new Error(`The server of ${url} ended with ${endedWith}: ${server.lastWords()}`)
      }
      const [program, args] = onHost(from, process.execPath, ['--eval', FETCH, url])
      const options = { okExitCodes: [0, 1], signal: scope.signal }
      return (await run(program, args, options)).exitCode === 0
    },
    { deadlineMs: HTTP_DEADLINE_MS, signal: scope.signal },
  )
}
