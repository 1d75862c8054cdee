// The rules that make it safe to create an image's entries one after the other below a directory.
// Invariant: every parent is a directory that the same image made before, so no entry is ever created
// through a symbolic link or outside of the root. Spec: FORMAT.md §5.
import { asBuffer, formatBytesForPeople, SiError } from '../core/core.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { PathSet } from './path-set.ts'

const COMPONENT_MAX_BYTES = 255
/** Sixteen times what the kernel takes in one call: sixteen steps of openat(2) at most. */
const PATH_MAX_BYTES = 65_535
const SHOWN_PATH_BYTES = 300
const SLASH = 0x2f
const DOT = 0x2e

/** Remembers which paths exist and as what; keeps directories exactly, all others as hashes. */
export class EntryTree {
  readonly #directories = new Map<string, number>()
  readonly #others = new PathSet()
  #hasRoot = false
  #count = 0

  /**
   * Adds the next entry. Returns its index (from 0, in order of adding), or for a directory that
   * occurs again the index of its first occurrence. Throws ERR_SI_UNSAFE_PATH.
   */
  add(entry: ManifestEntry): { readonly index: number; readonly isRepeated: boolean } {
    const path = entry.path
    checkPath(path)
    if (path.length === 0) return this.#addRoot(entry)
    const key = path.toString('latin1')
    const parent = key.slice(0, Math.max(0, key.lastIndexOf('/')))
    if (parent !== '' && !this.#directories.has(parent)) {
      throw unsafe(path, 'its parent is not a directory of this image')
    }
    const known = this.#directories.get(key)
    if (entry.type === 'directory') {
      if (known !== undefined) return { index: known, isRepeated: true }
      if (this.#others.has(path)) throw unsafe(path, 'the path occurs twice')
      this.#directories.set(key, this.#count)
    } else {
      if (entry.type === 'hardlink') this.#checkTarget(entry)
      if (known !== undefined || !this.#others.add(path))
        throw unsafe(path, 'the path occurs twice')
    }
    return { index: this.#count++, isRepeated: false }
  }

  /** Whether an object that is no directory was added under this path. */
  hasObject(path: Uint8Array): boolean {
    return this.#others.has(path)
  }

  #addRoot(entry: ManifestEntry): { readonly index: number; readonly isRepeated: boolean } {
    if (entry.type !== 'directory') throw unsafe(entry.path, 'the root is not a directory')
    const known = this.#directories.get('')
    if (known !== undefined && this.#hasRoot) return { index: known, isRepeated: true }
    this.#hasRoot = true
    this.#directories.set('', this.#count)
    return { index: this.#count++, isRepeated: false }
  }

  /** A target must be an earlier object that is no directory, itself below real directories. */
  #checkTarget(entry: ManifestEntry): void {
    const target = entry.linkTarget ?? Buffer.alloc(0)
    checkPath(target)
    const slash = target.lastIndexOf(SLASH)
    const isBelowDirectory =
      slash === -1 || this.#directories.has(target.subarray(0, slash).toString('latin1'))
    if (target.length === 0 || !isBelowDirectory || !this.#others.has(target)) {
      throw unsafe(entry.path, 'its hard link target is no earlier file of this image')
    }
  }
}

/**
 * Throws ERR_SI_UNSAFE_PATH unless the path is relative, at most 65535 bytes, and its components are
 * 1 to 255 bytes without NUL and neither `.` nor `..`. The empty path is the root.
 */
export function checkPath(path: Uint8Array): void {
  if (path.length === 0) return
  if (path.length > PATH_MAX_BYTES) throw unsafe(path, `it is longer than ${PATH_MAX_BYTES} bytes`)
  if (path[0] === SLASH) throw unsafe(path, 'it is absolute')
  let start = 0
  for (let i = 0; i <= path.length; i++) {
    const byte = i === path.length ? SLASH : path[i]
    if (byte === 0) throw unsafe(path, 'it contains a NUL byte')
    if (byte !== SLASH) continue
    checkComponent(path, start, i)
    start = i + 1
  }
}

function checkComponent(path: Uint8Array, start: number, end: number): void {
  const length = end - start
  if (length === 0) throw unsafe(path, 'it has an empty component')
  if (length > COMPONENT_MAX_BYTES) throw unsafe(path, 'a component is longer than 255 bytes')
  if (path[start] !== DOT) return
  if (length === 1) throw unsafe(path, 'it has the component "."')
  if (length === 2 && path[start + 1] === DOT) throw unsafe(path, 'it has the component ".."')
}

function unsafe(path: Uint8Array, reason: string): SiError {
  const isLong = path.length > SHOWN_PATH_BYTES
  const start = formatBytesForPeople(asBuffer(path).subarray(0, SHOWN_PATH_BYTES))
  const shown = isLong ? `${start}…` : start
  return new SiError('ERR_SI_UNSAFE_PATH', `Refused the image's path "${shown}": ${reason}`)
}
