// The serial console of a virtual machine: all that firmware, boot loader, kernel and programs wrote
// there, kept in a file that outlives a failed run.
import { readFile } from 'node:fs/promises'
import { type Scope, waitFor } from './scope.ts'

export interface MachineConsole {
  /** All text so far, without the control sequences of terminals. */
  text(): Promise<string>
  /**
   * Waits for text that matches and returns the match. Fails after `deadlineMs`, and as soon as the
   * machine has ended, with the last lines of the console.
   */
  waitFor(pattern: RegExp, deadlineMs: number): Promise<RegExpExecArray>
  /** The last lines, for error messages. */
  lastLines(): Promise<string>
}

const LAST_LINES = 15
const TERMINAL_SEQUENCES = /\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>c])|\r/g

export function openConsole(
  scope: Scope,
  file: string,
  machine: { readonly name: string; readonly hasEnded: () => boolean },
): MachineConsole {
  scope.keepOnFailure(file)
  const text = async () =>
    (await readFile(file, 'latin1').catch(() => '')).replaceAll(TERMINAL_SEQUENCES, '')
  const lastLines = async () => {
    const lines = (await text()).split('\n').filter((line) => line.trim() !== '')
    return lines.slice(-LAST_LINES).join('\n')
  }
  const wait = async (pattern: RegExp, deadlineMs: number) => {
    let match: RegExpExecArray | null = null
    const what = `${String(pattern)} on the console of ${machine.name}`
    const isThere = async () => {
      const hasEnded = machine.hasEnded() // asked first: what was written until then is read
      match = pattern.exec(await text())
      if (match === null && hasEnded) throw new Error(`${machine.name} ended before ${what}`)
      return match !== null
    }
    try {
      await waitFor(what, isThere, { deadlineMs, signal: scope.signal })
    } catch (cause) {
      scope.signal.throwIfAborted()
      throw new Error(`${(cause as Error).message}; its end:\n${await lastLines()}`, { cause })
    }
    return match as unknown as RegExpExecArray
  }
  return { text, waitFor: wait, lastLines }
}
