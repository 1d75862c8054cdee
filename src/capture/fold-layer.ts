// Two layers of a container image become one tree: what the upper does not replace or hide moves up from the
// lower. Invariant: directories are looked at, never followed through links, so a layer cannot reach what
// lies outside. Synchronous. Spec: OCI image specification, "Layer", whiteouts.
import { lstatSync, readdirSync, renameSync, rmdirSync, rmSync, type Dirent } from 'node:fs'
import { utimensat } from '../host/host.ts'

const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** Notes of aufs to itself, which hide nothing. */
const RESERVED = '.wh..wh.'

const SLASH = Buffer.from('/')

/**
 * Makes `upper` the sum of both; `lower` is left with what is hidden, or removed. `explicit` has the paths,
 * as latin1 text, of the directories that the upper layer itself names: of others, which exist
 * only because something lies in them, owner, mode and time are the lower's.
 */
export function foldLayer(lower: Buffer, upper: Buffer, explicit: ReadonlySet<string>): void {
  fold({ lower, upper, path: '' }, explicit)
}

interface Level {
  /** Null where the lower layer has no such directory, or it is hidden. */
  readonly lower: Buffer | null
  readonly upper: Buffer
  readonly path: string
}

type Child = Dirent<Buffer<ArrayBufferLike>>

function fold({ lower, upper, path }: Level, explicit: ReadonlySet<string>): void {
  const lowerTime = lower === null ? null : timeOf(lower)
  const upperTime = timeOf(upper)
  const { isOpaque, hidden } = takeWhiteouts(upper)
  const upperChildren = childrenOf(upper)
  const lowerChildren = lower === null ? new Map<string, Child>() : childrenOf(lower)
  const isVisible = (name: string) => !isOpaque && !hidden.has(name)
  for (const [name, child] of upperChildren) {
    if (!child.isDirectory()) continue
    const below = lowerChildren.get(name)
    const isMerged = lower !== null && below?.isDirectory() === true && isVisible(name)
    const nextLower = isMerged ? join(lower, name) : null
    const next = { lower: nextLower, upper: join(upper, name), path: joinText(path, name) }
    fold(next, explicit)
  }
  if (lower !== null) {
    for (const name of lowerChildren.keys()) {
      if (!upperChildren.has(name) && isVisible(name))
        renameSync(join(lower, name), join(upper, name))
    }
    if (!explicit.has(path)) {
      keepDirectory(lower, upper)
      utimensat(upper, lowerTime ?? upperTime)
      return
    }
  }
  utimensat(upper, upperTime)
}

/** Everything of `upper` moves into the directory `lower`, which then takes its place. */
function keepDirectory(lower: Buffer, upper: Buffer): void {
  for (const name of childrenOf(lower).keys()) {
    rmSync(join(lower, name), { recursive: true, force: true })
  }
  for (const name of childrenOf(upper).keys()) renameSync(join(upper, name), join(lower, name))
  rmdirSync(upper)
  renameSync(lower, upper)
}

/** Reads and removes the markers of a directory. */
function takeWhiteouts(directory: Buffer) {
  const hidden = new Set<string>()
  let isOpaque = false
  for (const name of childrenOf(directory).keys()) {
    if (!name.startsWith(WHITEOUT)) continue
    if (name === OPAQUE) isOpaque = true
    else if (!name.startsWith(RESERVED)) hidden.add(name.slice(WHITEOUT.length))
    rmSync(join(directory, name), { recursive: true, force: true })
  }
  return { isOpaque, hidden }
}

/** By name as latin1 text. */
function childrenOf(directory: Buffer): Map<string, Child> {
  const entries = readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })
  return new Map(entries.map((entry) => [entry.name.toString('latin1'), entry]))
}

function timeOf(path: Buffer): bigint {
  return lstatSync(path, { bigint: true }).mtimeNs
}

function join(directory: Buffer, name: string): Buffer {
  return Buffer.concat([directory, SLASH, Buffer.from(name, 'latin1')])
}

function joinText(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`
}
