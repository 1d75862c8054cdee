// The grid file system under programs that check what they read, for as long as the project promises: fio
// with checksums, stress-ng, dbench. Says how long each took, and ends with an error when one found a fault.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseSize, SiError } from '../../src/core/core.ts'
import { officeLoad, stress, verifyAcross } from '../lab/file-system-load.ts'
import { createGridSite } from '../lab/grid-site.ts'
import { withScope } from '../lab/scope.ts'
import { type Bench } from './report.ts'

const CLIENTS = 8
const GRACE_MS = 15 * 60_000

export const benchGridfsLoad: Bench = {
  usage: '[--size 4GiB] [--seconds 60]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        size: { type: 'string', default: '4GiB' },
        seconds: { type: 'string', default: '60' },
      },
    })
    const [sizeBytes, seconds] = [parseSize(values.size), parseSeconds(values.seconds)]
    return withScope(async (scope) => {
      const site = await createGridSite(scope)
      const [writing, reading] = [await site.mount('writing'), await site.mount('reading')]
      const stressed = join(writing, 'stressed')
      await mkdir(stressed)
      const options = { signal: scope.signal, graceMs: GRACE_MS }
      const loads = {
        'fio, verified': () => verifyAcross({ writing, reading }, sizeBytes, options),
        'stress-ng': () => stress(stressed, seconds, options),
        dbench: () => officeLoad(reading, seconds, { ...options, clients: CLIENTS }),
      }
      const rows: { readonly load: string; readonly seconds: number }[] = []
      for (const [load, work] of Object.entries(loads)) {
        const startMs = performance.now()
        await work()
        rows.push({ load, seconds: (performance.now() - startMs) / 1000 })
      }
      const lines = rows.map((row) => [row.load, 'clean', row.seconds.toFixed(1)])
      return { table: [['load', 'result', 'seconds'], ...lines], rows }
    })
  },
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (Number.isInteger(seconds) && seconds >= 1) return seconds
  throw new SiError('ERR_SI_USAGE', `Cannot run for ${text} seconds`, {
    hint: 'Give a number from 1',
  })
}
