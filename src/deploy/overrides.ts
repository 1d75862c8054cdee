// Overrides: small images that are laid over the tree, in their order, through the swarm as well. All of them are
// found, verified and planned for before the target is touched. They go on being seeded until the deployment closes.
// Invariant: an override changes what it holds, and removes nothing but what stands in its way.
import { SiError, type Progress } from '../core/core.ts'
import type { Trust } from '../pki/pki.ts'
import { startDownload, type Download, type DownloadOptions } from './download.ts'
import { fetchTrusted, refuseUnsigned } from './fetch-trusted.ts'
import { writeTree } from './fill-tree.ts'
import type { Journal } from './journal.ts'
import { loadTorrent } from './load-torrent.ts'
import type { OverrideOptions } from './options.ts'
import { makeWay, overlayTable } from './overlay-table.ts'
import type { PreparedTarget } from './target.ts'
import type { ManifestTables } from './worker-protocol.ts'

export interface Override {
  readonly download: Download
  readonly tables: ManifestTables
}

export interface OpenedOverrides {
  readonly list: readonly Override[]
  /** `override-compute 3`, in their order. */
  readonly names: readonly string[]
  /** File data of all of them. */
  readonly contentBytes: number
  close(): Promise<void>
}

/** Throws what deploy() throws of an image that it does not trust. */
export async function openOverrides(
  overrides: readonly OverrideOptions[],
  how: {
    /** Of the image: overrides come from the same swarm. */
    readonly download: Omit<DownloadOptions, 'metainfo' | 'webSeeds'>
    readonly trust: Trust
    readonly progress: Progress
    readonly signal: AbortSignal
  },
): Promise<OpenedOverrides> {
  const list: Override[] = []
  const close = async () => {
    for (const { download } of list.splice(0)) await download.close()
  }
  try {
    for (const { torrent, expect } of overrides) {
      const metainfo = await loadTorrent(torrent, {
        signal: how.signal,
        security: how.download.security,
      })
      await refuseUnsigned(metainfo, how.trust)
      const download = await startDownload({
        ...how.download,
        ...{ metainfo, webSeeds: metainfo.webSeeds, port: 0, threads: 1, lanes: 1 },
        pieceCacheBytes: Infinity, // the file for pieces on the target is the image's own
      })
      const request = { metainfo, trust: how.trust, expect }
      const { tables, verdict } = await fetchTrusted(download, request, how.signal).catch(
        async (error: unknown) => {
          await download.close()
          throw error
        },
      )
      list.push({ download, tables })
      verdict.notes.forEach((note) => how.progress.note(note))
    }
  } catch (error) {
    await close()
    throw error
  }
  const headers = list.map(({ tables }) => tables.manifest.header)
  return {
    ...{ list, close },
    names: headers.map(({ name, version }) => `${name} ${version}`),
    contentBytes: headers.reduce((sum, header) => sum + header.contentBytes, 0),
  }
}

/** Lays one override over the tree. May be repeated. */
export async function layOverride(
  { download, tables }: Override,
  how: {
    readonly prepared: PreparedTarget
    readonly losses: Uint32Array
    readonly withoutDevices: boolean
    readonly progress: Progress
    readonly signal: AbortSignal
  },
): Promise<void> {
  const { name } = tables.manifest.header
  how.progress.update({ phase: `laying over ${name}`, doneBytes: 0, totalBytes: undefined })
  try {
    const root = Buffer.from(how.prepared.directory)
    const table = overlayTable(root, tables.table)
    makeWay(root, table)
    const prepared = { ...how.prepared, journal: NO_JOURNAL }
    await writeTree({ ...how, download, prepared, tables: { ...tables, table } })
  } catch (error) {
    if (!(error instanceof SiError)) throw error
    const message = `Override ${name}: ${error.message}`
    throw new SiError(error.code, message, { hint: error.hint, cause: error })
  }
}

/** An override that was interrupted is laid over anew. */
const NO_JOURNAL: Journal = {
  pieces: new Map(),
  isNew: true,
  append: () => Promise.resolve(),
  forget: () => {},
  remove: () => Promise.resolve(),
  close: () => Promise.resolve(),
}
