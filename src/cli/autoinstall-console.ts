// The console of a machine that nobody watches: what is written goes to all its consoles, and to the log that the server
// keeps. Invariant: none of them holds up the others.
import { openOtherConsoles } from '../host/host.ts'
import type { Reporter } from '../netboot/netboot.ts'
import type { Io, OutputStream } from './io.ts'

export interface MachineConsole {
  /** Writes results and messages to every console. */
  readonly io: Io
  /** From now on this host's log on the server gets all that is written, and what was written before. */
  sendTo(reporter: Reporter): void
}

const KEPT_CHARACTERS = 256 * 1024

export async function openMachineConsole(io: Io): Promise<MachineConsole> {
  const others = await openOtherConsoles()
  let reporter: Reporter | undefined
  let kept = ''
  const write: OutputStream['write'] = (data, onDone) => {
    const text = typeof data === 'string' ? data : Buffer.from(data).toString()
    others.write(text)
    kept = (kept + text).slice(-KEPT_CHARACTERS)
    reporter?.log(text)
    return io.stderr.write(data, onDone)
  }
  // Lines rather than a bar that is drawn anew: consoles are recorded, and serial ones are slow.
  const stream: OutputStream = { write, isTTY: false }
  return {
    io: { ...io, stdout: stream, stderr: stream, ask: undefined },
    sendTo(next) {
      reporter = next
      reporter.log(kept)
    },
  }
}
