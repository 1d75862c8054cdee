// A question to the person at the terminal.
import { createInterface } from 'node:readline/promises'
import { abortedError, SiError } from '../core/core.ts'

/** Throws ERR_SI_ABORTED on Ctrl-C, on Ctrl-D and when the signal fires. */
export async function askOnTerminal(
  terminal: { readonly input: NodeJS.ReadableStream; readonly output: NodeJS.WritableStream },
  question: string,
  signal: AbortSignal,
): Promise<string> {
  const prompt = createInterface({ ...terminal, terminal: true })
  try {
    return await prompt.question(question, { signal })
  } catch (error) {
    terminal.output.write('\n')
    // While it asks, the terminal is in raw mode: Ctrl-C is a character and no signal.
    if (signal.aborted) throw abortedError(signal)
    throw new SiError('ERR_SI_ABORTED', 'Interrupted', { cause: error })
  } finally {
    prompt.close()
  }
}
