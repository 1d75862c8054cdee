// The output of a script: as lines for people while it runs, as it is for the log that stays. Invariant: memory is bounded
// whatever the script writes, and nothing that it writes steers a terminal.

/** Of a script that writes more, the end is kept: that is where it says why it failed. */
const KEPT_BYTES = 4 * 2 ** 20
const LINE_CHARACTERS = 1000
const MOST_LAST_LINES = 10

export interface ScriptOutput {
  add(data: Buffer): void
  /** Ends the last line. */
  end(): void
  /** All of it, or how much is left out and the end; ends with a line feed unless it is empty. */
  kept(): string
  /** The last lines that are not empty, oldest first. */
  lastLines(count: number): readonly string[]
}

/** `onLine` gets each line as soon as it is whole, without what would steer a terminal. */
export function createScriptOutput(onLine: (line: string) => void): ScriptOutput {
  const parts: Buffer[] = []
  let keptBytes = 0
  let droppedBytes = 0
  let last: string[] = []
  let unfinished = ''
  const decoder = new TextDecoder()
  const tell = (raw: string) => {
    const line = toPlainLine(raw)
    if (line === '') return
    last = [...last.slice(1 - MOST_LAST_LINES), line]
    onLine(line)
  }
  return {
    add(data) {
      parts.push(Buffer.from(data))
      keptBytes += data.length
      while (keptBytes - (parts[0]?.length ?? 0) >= KEPT_BYTES) {
        const bytes = parts.shift()?.length ?? 0
        droppedBytes += bytes
        keptBytes -= bytes
      }
      const lines = (unfinished + decoder.decode(data, { stream: true })).split('\n')
      unfinished = (lines.pop() ?? '').slice(-LINE_CHARACTERS)
      lines.forEach(tell)
    },
    end() {
      tell(unfinished + decoder.decode())
      unfinished = ''
    },
    kept() {
      const note = droppedBytes === 0 ? '' : `[${droppedBytes} bytes before this are left out]\n`
      const text = Buffer.concat(parts).toString()
      return note + text + (text === '' || text.endsWith('\n') ? '' : '\n')
    },
    lastLines: (count) => last.slice(-count),
  }
}

/** What is left of a line after carriage returns, escape sequences (ECMA-48) and control characters. */
function toPlainLine(raw: string): string {
  const text = raw.replace(/\r+$/, '').split('\r').at(-1) ?? ''
  const plain = text
    .replace(/\t/g, ' ')
    .replace(/\p{Cc}(?:\[[0-?]*[ -/]*[@-~]|\][^\p{Cc}]*)/gu, '')
    .replace(/\p{Cc}/gu, '')
    .trimEnd()
  return plain.slice(0, LINE_CHARACTERS)
}
