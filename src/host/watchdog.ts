// The kernel's watchdog (Documentation/watchdog/watchdog-api.rst): unless it is written to in time, usually 60 s,
// it resets the machine. Invariant: only close() disarms it; a process that dies does not.
import { open } from 'node:fs/promises'
import { errnoOf } from '../core/core.ts'

export interface Watchdog {
  /** Not yet. */
  keepAlive(): Promise<void>
  /** Disarms it. Idempotent. */
  close(): Promise<void>
}

/** undefined: the machine has none. */
export async function openWatchdog(): Promise<Watchdog | undefined> {
  const file = await open('/dev/watchdog', 'w').catch((error: unknown) => {
    if (errnoOf(error) === undefined) throw error
    return undefined
  })
  if (file === undefined) return undefined
  let isOpen = true
  return {
    async keepAlive() {
      if (isOpen) await file.write('\0')
    },
    async close() {
      if (!isOpen) return
      isOpen = false
      await file.write('V') // the magic close: nobody is to be watched any more
      await file.close()
    },
  }
}
