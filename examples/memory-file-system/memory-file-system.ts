// A file system that lives in memory: the smallest use of the FUSE binding that is a whole POSIX file system.
//   node examples/memory-file-system/memory-file-system.ts /mnt/memory      (as root; Ctrl-C unmounts)
import { resolve } from 'node:path'
import { mountFuse, setReadahead, unmount } from '../../src/host/host.ts'
import {
  MAXIMUM_WRITE_BYTES,
  startFuseSession,
  type FuseFileSystem,
  type KernelOffer,
} from '../../src/gridfs/gridfs.ts'
import { fileHandlers } from './file-handlers.ts'
import { nameHandlers } from './name-handlers.ts'
import { NodeStore } from './node-store.ts'

const READAHEAD_BYTES = 4 * 2 ** 20

export function createMemoryFileSystem(now: () => bigint): FuseFileSystem {
  const store = new NodeStore(now)
  return {
    handlers: { ...nameHandlers(store), ...fileHandlers(store) },
    forget(forgotten) {
      for (const { nodeId, lookups } of forgotten) {
        const node = store.node(nodeId)
        node.lookups -= lookups
        store.dropUnused(node)
      }
    },
    capabilities: (_offer: KernelOffer) => [
      ...(['asyncRead', 'atomicTruncate', 'bigWrites', 'readdirplus', 'readdirplusAuto'] as const),
      ...(['asyncDirectIo', 'parallelFolderOperations', 'handleKillPrivileges2'] as const),
      ...([
        'abortError',
        'maximumPages',
        'posixLocks',
        'flockLocks',
        'cacheSymlinks',
        'initExtended',
      ] as const),
    ],
  }
}

/** Mounts a new one, until `signal` aborts or somebody unmounts it. */
export async function mountMemoryFileSystem(directory: string, signal: AbortSignal): Promise<void> {
  await using device = await mountFuse({
    ...{ source: 'memory', directory, subtype: 'memory', maximumReadBytes: MAXIMUM_WRITE_BYTES },
  })
  const session = startFuseSession({
    fd: device.fd,
    fileSystem: createMemoryFileSystem(nanosecondClock()),
    onFault: (error, operation) => console.error(`${operation}:`, error),
  })
  await session.ready
  await setReadahead(directory, READAHEAD_BYTES)
  const leave = () => void unmount(directory).catch((error: Error) => console.error(error.message))
  signal.addEventListener('abort', leave, { once: true })
  await session.ended
}

/** The time of day in nanoseconds since 1970: Date counts whole milliseconds, and calls are faster. */
function nanosecondClock(): () => bigint {
  const offsetNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint()
  return () => offsetNs + process.hrtime.bigint()
}

if (import.meta.main) {
  const [directory] = process.argv.slice(2)
  if (directory === undefined) {
    console.error('usage: memory-file-system.ts DIRECTORY')
    process.exitCode = 2
  } else {
    const controller = new AbortController()
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => controller.abort())
    await mountMemoryFileSystem(resolve(directory), controller.signal)
  }
}
