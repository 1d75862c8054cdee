// Kernel, modules and firmware of an image, taken out of its pack into a folder: a machine is to boot into the
// installation with the very kernel that it runs afterwards, so that what drives its disks there drives them here.
// Invariant: only paths below boot, lib/modules and lib/firmware are written, and no link is followed.
import { createReadStream } from 'node:fs'
import { mkdir, open, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SiError, throwIfAborted } from '../core/core.ts'
import {
  fileContent,
  PackReader,
  readManifest,
  type ManifestEntry,
  type ManifestHeader,
} from '../image/image.ts'
import type { ImageReference } from '../repository/repository.ts'

export interface KernelFiles {
  /** As `uname -r` says. */
  readonly version: string
  readonly header: ManifestHeader
  readonly kernelFile: string
  /** lib/modules/VERSION */
  readonly modulesDirectory: string
  readonly firmwareDirectory: string
}

export interface KernelRequest {
  readonly image: ImageReference
  /** Empty folder to write to. */
  readonly directory: string
  /** undefined: the one that the golden client ran, else the newest. */
  readonly version: string | undefined
}

/** Throws ERR_SI_IMAGE_NOT_FOUND when the image has no such kernel. */
export async function extractKernel(
  request: KernelRequest,
  signal: AbortSignal,
): Promise<KernelFiles> {
  const { image, directory } = request
  const entries: ManifestEntry[] = []
  const manifest = await readManifest(createReadStream(image.manifestPath), (entry) => {
    if (relevantPath(entry) !== undefined) entries.push(entry)
  })
  const { header, chunks } = manifest
  const version = chooseVersion(entries, request, header)
  const kernel = kernelEntry(entries, version)
  if (kernel === undefined) throw noKernel(request, `it has no kernel file for ${version}`)
  const below = [`lib/modules/${version}/`, 'lib/firmware/']
  const wanted = entries.filter((entry) => {
    const path = relevantPath(entry) ?? ''
    return below.some((prefix) => path.startsWith(prefix)) || entry === kernel
  })
  await using pack = await PackReader.open(image.packPath, chunks)
  const contents = contentByPath(entries)
  for (const entry of wanted.toSorted((a, b) => a.dataOffset - b.dataOffset)) {
    throwIfAborted(signal)
    await write(join(directory, relevantPath(entry) ?? ''), entry, { pack, contents })
  }
  await mkdir(join(directory, 'lib/firmware'), { recursive: true })
  return {
    ...{ version, header },
    kernelFile: join(directory, relevantPath(kernel) ?? ''),
    modulesDirectory: join(directory, 'lib/modules', version),
    firmwareDirectory: join(directory, 'lib/firmware'),
  }
}

/** The path without a leading usr/, for what may be needed; undefined for all else. */
function relevantPath(entry: ManifestEntry): string | undefined {
  const path = entry.path.toString('utf8').replace(/^usr\/lib\//, 'lib/')
  return /^(?:lib\/(?:modules|firmware)|boot)\/./.test(path) && !path.includes('\ufffd')
    ? path
    : undefined
}

/** `boot/vmlinuz-VERSION` of Debian and Red Hat, `Image` of arm64, `lib/modules/VERSION/vmlinuz` of Fedora and Arch. */
function kernelEntry(entries: readonly ManifestEntry[], version: string) {
  const names = [
    `boot/vmlinuz-${version}`,
    `lib/modules/${version}/vmlinuz`,
    `boot/Image-${version}`,
    `boot/kernel-${version}`,
  ]
  const files = entries.filter(({ type }) => type === 'file')
  return names
    .map((name) => files.find((entry) => relevantPath(entry) === name))
    .find((entry) => entry !== undefined)
}

function chooseVersion(
  entries: readonly ManifestEntry[],
  request: KernelRequest,
  header: ManifestHeader,
): string {
  const found = new Set<string>()
  for (const entry of entries) {
    const version = /^lib\/modules\/([^/]+)\//.exec(relevantPath(entry) ?? '')?.[1]
    if (version !== undefined && kernelEntry(entries, version) !== undefined) found.add(version)
  }
  const versions = [...found].sort(compareVersions)
  const { version } = request
  if (version !== undefined) {
    if (found.has(version)) return version
    throw noKernel(request, `it has no kernel ${version}`, versions)
  }
  const running = header.source.kernel
  const chosen = found.has(running) ? running : versions.at(-1)
  if (chosen !== undefined) return chosen
  throw noKernel(request, 'it has no kernel with modules')
}

/** Numbers in the text count as numbers: 6.1.0-9 is older than 6.1.0-10. */
function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

function noKernel(
  { image }: KernelRequest,
  why: string,
  versions: readonly string[] = [],
): SiError {
  const there = versions.length === 0 ? '' : `; there are ${versions.join(', ')}`
  const message = `Cannot make an initramfs from image ${image.name}/${image.version}: ${why}${there}`
  return new SiError('ERR_SI_IMAGE_NOT_FOUND', message, {
    hint:
      versions.length === 0
        ? 'Install a kernel on the golden client, such as linux-image-amd64, and capture it again'
        : 'Name one of them with --kernel',
  })
}

type Contents = ReadonlyMap<string, ManifestEntry>

/** Hard links have the content of the file that they name. */
function contentByPath(entries: readonly ManifestEntry[]): Contents {
  return new Map(entries.map((entry) => [entry.path.toString('latin1'), entry]))
}

async function write(
  path: string,
  entry: ManifestEntry,
  { pack, contents }: { readonly pack: PackReader; readonly contents: Contents },
): Promise<void> {
  if (entry.type === 'directory') {
    await mkdir(path, { recursive: true })
    return
  }
  await mkdir(dirname(path), { recursive: true })
  if (entry.type === 'symlink' && entry.linkTarget !== null) {
    // `build` and `source` lead to the headers; nothing follows links while the rest is written.
    await symlink(entry.linkTarget, path)
    return
  }
  const isLink = entry.type === 'hardlink' && entry.linkTarget !== null
  const data = isLink ? contents.get(entry.linkTarget.toString('latin1')) : entry
  if (data?.type !== 'file') return
  await using file = await open(path, 'wx')
  for await (const bytes of fileContent(pack, data)) await file.writeFile(bytes)
}
