// What the image server remembers of each node, in a folder of its own:
//
//     DIRECTORY/HOST/boot.json      what a network boot does: install or local
//     DIRECTORY/HOST/report.json    the last report
//     DIRECTORY/HOST/log, log.old   what the node said while it was installed
//
// Invariant: a file is replaced whole, so that a machine is never installed because a write was cut off; the name
// of a host is one of cluster.yaml, and so no path. si-server and si-netboot write at the same time.
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { errnoOf, systemClock, type Clock } from '../core/core.ts'
import { isDone, keptReportSchema, type KeptReport, type NodeReport } from './node-report.ts'
import { BOOT_CHOICES } from './settings.ts'

export type BootChoice = (typeof BOOT_CHOICES)[number]

export interface NodeStore {
  /** What was chosen for this host; undefined: cluster.yaml decides. */
  bootOf(host: string): Promise<BootChoice | undefined>
  /** undefined: cluster.yaml decides again. Durable when it has resolved. */
  setBoot(host: string, boot: BootChoice | undefined): Promise<void>
  reportOf(host: string): Promise<KeptReport | undefined>
  /** Keeps a report; one of success makes the host boot locally before this resolves. */
  report(host: string, report: NodeReport): Promise<void>
  appendLog(host: string, text: string): Promise<void>
}

const bootSchema = z.object({ boot: z.enum(BOOT_CHOICES).nullable() })

/** Twice as much is kept at most. */
const LOG_BYTES = 4 * 2 ** 20
const FILE_MODE = 0o640
const FOLDER_MODE = 0o750

/** Nothing is made before something is to be kept. */
export function openNodeStore(directory: string, clock: Clock = systemClock): NodeStore {
  const folderOf = (host: string) => join(directory, host)
  const keep = async (host: string, name: string, value: object) => {
    const { writeDurably } = await import('../pki/pki.ts') // who only looks needs no certificates
    await mkdir(folderOf(host), { recursive: true, mode: FOLDER_MODE })
    await writeDurably(join(folderOf(host), name), `${JSON.stringify(value)}\n`, FILE_MODE)
  }
  const kept = new Map<string, KeptReport>()
  const store: NodeStore = {
    async bootOf(host) {
      const found = await readJson(join(folderOf(host), 'boot.json'), bootSchema)
      return found?.boot ?? undefined
    },
    async setBoot(host, boot) {
      const changedAt = clock.now().toISOString()
      await keep(host, 'boot.json', { boot: boot ?? null, changedAt })
    },
    async reportOf(host) {
      return (
        kept.get(host) ?? (await readJson(join(folderOf(host), 'report.json'), keptReportSchema))
      )
    },
    async report(host, { log, ...report }) {
      const before = kept.get(host)
      const now = { ...report, receivedAt: clock.now().toISOString() }
      kept.set(host, now)
      if (log !== undefined) await store.appendLog(host, log)
      // Every per cent of a thousand nodes need not go to the disk.
      const isNews =
        before?.phase !== report.phase || before.error !== report.error || isDone(report)
      if (isNews) await keep(host, 'report.json', now)
      if (isDone(report)) await store.setBoot(host, 'local')
    },
    async appendLog(host, text) {
      await mkdir(folderOf(host), { recursive: true, mode: FOLDER_MODE })
      const path = join(folderOf(host), 'log')
      await using file = await open(path, 'a', FILE_MODE)
      await file.appendFile(text)
      if ((await file.stat()).size > LOG_BYTES) await rename(path, `${path}.old`)
    },
  }
  return store
}

/** undefined when it is not there, or is not what we wrote. */
async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  try {
    return schema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
