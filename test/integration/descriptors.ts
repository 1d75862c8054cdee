// What a process has open, by the kernel's own list: the oracle of every test file that calls failOnLeaks().
import { readdirSync, readlinkSync } from 'node:fs'
import { afterEach, beforeEach } from 'node:test'
import { until } from './swarm-lab.ts'

/** Closing may take a moment: workers and sockets end by themselves. */
const CLOSING_MS = 5000

/** Each test of the file fails when it leaves more descriptors open than it found; they are named. */
export function failOnLeaks(): void {
  let before: readonly string[] = []
  beforeEach(() => {
    before = openDescriptors()
  })
  afterEach(async () => {
    const isClean = () => openDescriptors().length <= before.length
    await until(isClean, 'all descriptors to be closed', CLOSING_MS).catch(() => {
      throw new Error(`Left open: ${addedTo(before).join(', ')}`)
    })
  })
}

/** Targets of all descriptors of this process but the one that reads the list. */
function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return [readlinkSync(`/proc/self/fd/${name}`)]
    } catch {
      return [] // the list's own, closed by now
    }
  })
}

function addedTo(before: readonly string[]): string[] {
  const known = [...before]
  return openDescriptors().filter((target) => {
    const at = known.indexOf(target)
    if (at >= 0) known.splice(at, 1)
    return at < 0
  })
}
