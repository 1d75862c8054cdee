// Objects that know all of their keys: a key that is misspelt is named, together with the one that was
// probably meant. A key that is ignored would be a setting that silently does not hold.
import * as z from 'zod'

/** A strict object of zod whose complaint about unknown keys suggests the nearest known one. */
export function closedObject<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape)
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => describeUnknown(key, known)).join(', ')
        : undefined,
  })
}

function describeUnknown(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  const remedy = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`
  return `unknown key ${JSON.stringify(key)}: ${remedy}`
}

/** The known word that a third of the letters, changed, would make of this one; undefined: none. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const rated = known
    .map((candidate) => ({ candidate, edits: editDistance(word.toLowerCase(), candidate) }))
    .filter(({ candidate, edits }) => edits <= Math.ceil(candidate.length / 3))
    .sort((a, b) => a.edits - b.edits)
  return rated[0]?.candidate
}

/** Longer words are never misspelt ones of ours, and would take quadratic time. */
const MAX_WORD = 64

/** Letters to insert, remove, replace, or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  if (a.length > MAX_WORD || b.length > MAX_WORD) return Infinity
  let before: readonly number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let line = 1; line <= a.length; line++) {
    const next = [line]
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[line - 1] === b[column - 1]
      const isSwapped = a[line - 1] === b[column - 2] && a[line - 2] === b[column - 1]
      const replaced = (row[column - 1] ?? 0) + (isSame ? 0 : 1)
      const swapped = isSwapped ? (before[column - 2] ?? Infinity) + SWAP_EDITS : Infinity
      const added = Math.min(row[column] ?? 0, next[column - 1] ?? 0) + 1
      next.push(Math.min(replaced, swapped, added))
    }
    ;[before, row] = [row, next]
  }
  return row[b.length] ?? 0
}

/** Less than a letter that is wrong: all letters are there (`lable` is label rather than table). */
const SWAP_EDITS = 0.5
