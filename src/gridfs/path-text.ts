// Paths as bytes, and as text in files that people can read: printable ASCII as it is, every other byte as
// %XX. Pure.
import { asBuffer } from '../core/core.ts'

const SLASH = Buffer.from('/')

/** Neither space nor line end nor `/` is in a name's text; an empty path is a single `.`. */
export function formatPath(path: Uint8Array): string {
  if (path.length === 0) return '.'
  const text = asBuffer(path)
    .toString('latin1')
    .replace(/[^!-$&-~]/g, escaped)
  return text === '.' ? '%2E' : text
}

/** The inverse of `formatPath`. */
export function parsePath(text: string): Buffer {
  if (text === '.') return Buffer.alloc(0)
  const bytes = text.replace(/%([0-9A-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}

/** The path of a name in a folder; both are paths from the same root. */
export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  return folder.length === 0 ? Buffer.from(name) : Buffer.concat([folder, SLASH, name])
}

/** The folder of a path, and the name in it. */
export function splitPath(path: Uint8Array): { readonly folder: Buffer; readonly name: Buffer } {
  const slash = asBuffer(path).lastIndexOf('/')
  const folder = asBuffer(path).subarray(0, Math.max(0, slash))
  return { folder, name: asBuffer(path).subarray(slash + 1) }
}

function escaped(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
}
