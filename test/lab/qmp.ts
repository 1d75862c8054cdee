// QEMU's control socket (QEMU Machine Protocol): one command and its answer at a time; events are
// skipped. Each command has a connection of its own, so that nothing stays open.
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

interface Message {
  readonly return?: unknown
  readonly error?: { readonly desc: string }
}

/** Sends one command; its result. The machine may end before it answers `quit`. */
export async function runQmp(
  socketPath: string,
  command: string,
  options: { readonly signal: AbortSignal },
): Promise<unknown> {
  const socket = connect({ path: socketPath, signal: options.signal })
  const lines = createInterface({ input: socket })
  try {
    socket.write('{"execute":"qmp_capabilities"}\n')
    socket.write(`${JSON.stringify({ execute: command })}\n`)
    let answers = 0
    for await (const line of lines) {
      const message = JSON.parse(line) as Message
      if (message.error !== undefined) throw new Error(`QEMU: ${command}: ${message.error.desc}`)
      if (message.return === undefined) continue
      answers += 1
      if (answers === 2) return message.return
    }
    return undefined
  } finally {
    lines.close()
    socket.destroy()
  }
}
