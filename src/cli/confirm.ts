// Consent to what cannot be undone: --yes, or a person who types the word.
import { SiError } from '../core/core.ts'
import type { Io } from './io.ts'

/** Throws ERR_SI_NOT_CONFIRMED unless `yes` is set or a person types yes. */
export async function confirm(
  io: Io,
  yes: true | undefined,
  words: { readonly question: string; readonly refused: string },
): Promise<void> {
  if (yes) return
  const answer = await io.ask?.(words.question, io.signal)
  if (answer?.trim().toLowerCase() === 'yes') return
  throw new SiError('ERR_SI_NOT_CONFIRMED', words.refused, { hint: 'Add --yes to go on unasked' })
}
