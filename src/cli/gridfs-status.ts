// si-gridfs status: how the mounts of this machine are.
import { realpath } from 'node:fs/promises'
import type { Command } from 'commander'
import { formatDuration, formatSize, SiError } from '../core/core.ts'
import type { MemberState, MountStatus } from '../gridfs/gridfs.ts'
import { jsonOption } from './arguments.ts'
import { createCommand } from './command.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'

export function createGridfsStatus(io: Io): Command {
  return createCommand({
    name: 'status',
    summary: 'Show how the mounts of this machine are: servers, latency, bytes, what waits',
    examples: ['si-gridfs status', 'si-gridfs status /mnt/images --json'],
    exitCodes: [0, 1, 2],
  })
    .argument('[directory]', 'only this mount')
    .addOption(jsonOption())
    .action((directory: string | undefined, flags: { readonly json?: true }) =>
      showStatus(directory, flags, io),
    )
}

async function showStatus(
  directory: string | undefined,
  flags: { readonly json?: true },
  io: Io,
): Promise<void> {
  const { readMountStatus } = await import('../gridfs/gridfs.ts')
  const all = await readMountStatus()
  const wanted = directory === undefined ? undefined : await realpath(directory)
  const shown = all.filter((one) => wanted === undefined || one.directory === wanted)
  if (wanted !== undefined && shown.length === 0) {
    throw new SiError('ERR_SI_USAGE', `No grid file system is mounted at ${wanted}`, {
      hint: 'Run si-gridfs status without a folder to see those that are',
    })
  }
  if (flags.json) {
    for (const one of shown) writeJson(io, one)
    return
  }
  if (shown.length === 0) io.stderr.write('si-gridfs: no grid file system is mounted here\n')
  for (const one of shown) io.stdout.write(formatStatus(one))
}

function formatStatus(status: MountStatus): string {
  const { directory, source, servers, calls, failures, pendingCalls, pendingBytes } = status
  const { readBytes, writtenBytes, medianMs, slowMs } = status
  const time = (ms: number | undefined) => (ms === undefined ? '-' : `${ms.toFixed(1)} ms`)
  const rows = [
    ...servers.map((server) => ['  server', formatServer(server)]),
    ['  latency', `median ${time(medianMs)}, 99 % below ${time(slowMs)}`],
    ['  calls', `${calls}, of which ${failures} ended with an error`],
    ['  bytes', `read ${formatSize(readBytes)}, written ${formatSize(writtenBytes)}`],
    ['  waiting', `${pendingCalls} calls, ${formatSize(pendingBytes)} to be written`],
  ]
  return `${directory} is ${source}\n${formatTable(rows)}`
}

function formatServer({ name, isUp, isClean, sinceMs, losses }: MemberState): string {
  const for_ = formatDuration(Date.now() - sinceMs)
  const often = losses === 0 ? '' : `, lost ${losses === 1 ? 'once' : `${losses} times`}`
  const missed = isClean ? '' : ', has missed changes: si-gridfs heal'
  return `${name}: ${isUp ? 'connected' : 'AWAY'} for ${for_}${often}${missed}`
}
