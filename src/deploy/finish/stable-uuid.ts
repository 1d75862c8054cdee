// A UUID made of a text: the same for the same text, so that a step of a deployment can be repeated.
import { hash } from 'node:crypto'

/** In the shape of RFC 9562 version 8. */
export function stableUuid(text: string): string {
  const hex = hash('sha256', text)
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
  ]
  return [...parts, hex.slice(20, 32)].join('-')
}
