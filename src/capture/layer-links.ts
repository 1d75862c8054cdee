// Hard links of a layer to files of the layers below it, which tar cannot make: it unpacks each layer alone.
// Invariant: neither the target nor the place of a link is reached through a symbolic link, so nothing
// outside of the two trees is linked or changed. Spec: OCI image specification, "Layer".
import { linkSync, lstatSync, mkdirSync } from 'node:fs'
import { errnoOf, formatBytesForPeople } from '../core/core.ts'
import { utimensat } from '../host/host.ts'
import type { ManifestEntry } from '../image/image.ts'

/** Both as in the archive, without leading `./` and `/`, in latin1. */
export interface LayerLink {
  readonly path: string
  readonly target: string
}

/** To be told of every entry of a layer in order. */
export class LayerLinks {
  readonly #objects = new Set<string>()
  readonly #links = new Map<string, string>()

  add({ type, path, linkTarget }: ManifestEntry): void {
    const name = plainName(path)
    if (type === 'hardlink' && linkTarget !== null) {
      const target = plainName(linkTarget)
      // A link to such a link has the same target.
      const below = this.#links.get(target) ?? target
      if (this.#links.has(target) || !this.#objects.has(target)) this.#links.set(name, below)
    } else {
      this.#links.delete(name)
    }
    if (type !== 'directory') this.#objects.add(name)
  }

  /** Those whose target the layer does not bring. */
  toBelow(): readonly LayerLink[] {
    return Array.from(this.#links, ([path, target]) => ({ path, target }))
  }
}

/** How tar may have such a name in an archive, for its list of what to leave out. */
export function memberNames({ path }: LayerLink): readonly string[] {
  return [path, `./${path}`, `/${path}`]
}

/**
 * Makes the links in `upper`; both trees lie on one file system. Returns the first that is impossible, and why, or
 * undefined.
 */
export function linkToBelow(
  links: readonly LayerLink[],
  { lower, upper }: { readonly lower: Buffer; readonly upper: Buffer },
): string | undefined {
  for (const { path, target } of links) {
    const source = find(lower, target)
    const parent = makeParent(upper, path)
    const place = join(upper, path)
    const fault =
      source === undefined
        ? 'no layer below brings that file'
        : parent === undefined || lstat(place) !== undefined
          ? 'another object is in its place'
          : undefined
    if (source === undefined || parent === undefined || fault !== undefined) {
      const show = (name: string) => formatBytesForPeople(Buffer.from(name, 'latin1'))
      return `hard link ${show(path)} points to ${show(target)}: ${fault ?? ''}`
    }
    const { mtimeNs } = lstatSync(parent, { bigint: true })
    linkSync(source, place)
    utimensat(parent, mtimeNs)
  }
  return undefined
}

function plainName(path: Uint8Array): string {
  return Buffer.from(path).toString('latin1').replace(/^\/+/, '')
}

/** Undefined unless it is there, no directory, and below directories alone. */
function find(root: Buffer, path: string): Buffer | undefined {
  const names = path.split('/')
  const last = names.pop() ?? ''
  let directory = root
  for (const name of names) {
    directory = join(directory, name)
    if (!isPlain(name) || lstat(directory)?.isDirectory() !== true) return undefined
  }
  const found = join(directory, last)
  const stats = isPlain(last) ? lstat(found) : undefined
  return stats === undefined || stats.isDirectory() ? undefined : found
}

/** The directory that the path lies in, made where the layer only implies it; undefined when it cannot be. */
function makeParent(root: Buffer, path: string): Buffer | undefined {
  const names = path.split('/')
  if (!names.every(isPlain)) return undefined
  let directory = root
  for (const name of names.slice(0, -1)) {
    const next = join(directory, name)
    const stats = lstat(next)
    if (stats === undefined) {
      const { mtimeNs } = lstatSync(directory, { bigint: true })
      mkdirSync(next, { mode: 0o755 })
      utimensat(directory, mtimeNs)
    } else if (!stats.isDirectory()) {
      return undefined
    }
    directory = next
  }
  return directory
}

function isPlain(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('\0')
}

function lstat(path: Buffer) {
  try {
    return lstatSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function join(directory: Buffer, name: string): Buffer {
  return Buffer.concat([directory, Buffer.from(`/${name}`, 'latin1')])
}
