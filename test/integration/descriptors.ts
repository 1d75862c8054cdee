// What a process has open, by the kernel's own list: the oracle for every test of leaks.
import { readdirSync, readlinkSync } from 'node:fs'
import { until } from './swarm-lab.ts'

/** Targets of all descriptors of this process but the one that reads the list. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return [readlinkSync(`/proc/self/fd/${name}`)]
    } catch {
      return [] // the list's own, closed by now
    }
  })
}

/** Runs `body` and then waits until no more descriptors are open than before; names those that are. */
export async function withoutLeaks(body: () => Promise<void>): Promise<void> {
  const before = openDescriptors()
  await body()
  const added = () => {
    const known = [...before]
    return openDescriptors().filter((target) => {
      const at = known.indexOf(target)
      if (at >= 0) known.splice(at, 1)
      return at < 0
    })
  }
  await until(
    () => openDescriptors().length <= before.length,
    `closing of ${added().join(', ')}`,
    5000,
  )
}
