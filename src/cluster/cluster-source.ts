// cluster.yaml as it is now, for a server that runs for months. Invariant: what is given out comes from one
// faultless state of the file; while it has a fault, the state before holds.
import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { messageOf } from '../core/core.ts'
import { loadCluster, type Cluster } from './load.ts'

export interface ClusterSource {
  /** undefined while there is no such file. Throws ERR_SI_CONFIGURATION when it never was faultless. */
  current(): Promise<Cluster | undefined>
}

/** Calls `onFault` once for each state of the file that cannot be used. */
export function openClusterSource(file: string, onFault: (message: string) => void): ClusterSource {
  let cluster: Cluster | undefined
  let seen = ''
  let running: Promise<Cluster | undefined> | undefined
  const look = async () => {
    const mark = await markOf(file, cluster)
    if (mark === undefined) return undefined
    if (mark === seen && cluster !== undefined) return cluster
    try {
      cluster = await loadCluster(file)
      seen = (await markOf(file, cluster)) ?? ''
    } catch (error) {
      if (cluster === undefined) throw error
      if (mark !== seen) onFault(`${messageOf(error)}; what it said before still holds`)
      seen = mark
    }
    return cluster
  }
  return {
    current: () => (running ??= look().finally(() => (running = undefined))),
  }
}

/** Changes with the file and with every script and layout that it names; undefined: there is no file. */
async function markOf(file: string, cluster: Cluster | undefined): Promise<string | undefined> {
  const paths = [...(cluster?.texts.keys() ?? [])].map((name) => resolve(dirname(file), name))
  const marks = await Promise.all([file, ...paths].map(markOfFile))
  return marks[0] === '' ? undefined : marks.join(' ')
}

async function markOfFile(path: string): Promise<string> {
  const info = await stat(path, { bigint: true }).catch(() => undefined)
  return info === undefined ? '' : `${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`
}
