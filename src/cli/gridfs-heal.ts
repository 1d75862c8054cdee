// si-gridfs heal: brings servers of a mirror up to date that have missed changes.
import type { Command } from 'commander'
import { formatSize, SiError } from '../core/core.ts'
import type { HealReport } from '../gridfs/gridfs.ts'
import { jsonOption } from './arguments.ts'
import { createCommandLog } from './command-log.ts'
import { createCommand } from './command.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'
import { credentialsFrom, credentialOptions, type CredentialFlags } from './tls-arguments.ts'
import { authorityOptions, pkiOption, withOptions } from './trust-arguments.ts'

interface HealFlags extends CredentialFlags {
  readonly dryRun?: true
  readonly full?: true
  readonly json?: true
}

export function createHeal(io: Io, defaultPort: number): Command {
  const command = createCommand({
    name: 'heal',
    summary: 'Bring servers of a mirror up to date that have missed changes',
    examples: [
      'si-gridfs heal a,b,c:/images              what is written down as missed; only changed blocks are moved',
      'si-gridfs heal a,b,c:/images --dry-run    how much that is',
      'si-gridfs heal a,b,c:/images --full       compares all content; nobody can change the mirror meanwhile',
    ],
    exitCodes: [0, 1, 2, 13, 130],
  })
    .argument('<mirror>', 'as it is mounted: A,B,C:/EXPORT or mirror:A:/X,B:/X,C:/X')
    .option('--dry-run', 'copy nothing')
    .option('--full', 'compare everything, also on servers that have missed nothing')
    .addOption(jsonOption())
  const options = [pkiOption(), ...authorityOptions(), ...credentialOptions('gridfs-client')]
  return withOptions(command, options).action((source: string, flags: HealFlags) =>
    runHeal(source, { ...flags, defaultPort }, io),
  )
}

async function runHeal(
  text: string,
  flags: HealFlags & { readonly defaultPort: number },
  io: Io,
): Promise<void> {
  const { healVolume, parseVolumeSource } = await import('../gridfs/gridfs.ts')
  const source = parseVolumeSource(text, flags.defaultPort)
  // Notes are for people: programs read the result alone.
  const log = createCommandLog(io, { command: 'si-gridfs', json: false })
  const onNote = (note: string) => log.info({}, note)
  const credentials = await credentialsFrom(flags, {
    ...{ holder: 'gridfs-client', roles: ['gridfs-client', 'image-server', 'node'], onNote },
  })
  try {
    const report = await healVolume({
      ...{ source, credentials, onNote, signal: io.signal },
      ...{ isFull: flags.full === true, isDryRun: flags.dryRun === true },
    })
    if (flags.json) for (const one of report) writeJson(io, { type: 'member', ...one })
    else io.stdout.write(formatReport(report))
    checkAll(report)
  } finally {
    credentials.close()
  }
}

function formatReport(report: HealReport): string {
  const rows = report.map((one) => [
    ...[one.member, one.state, String(one.changed)],
    ...[formatSize(one.comparedBytes), formatSize(one.movedBytes)],
  ])
  const headings = ['SERVER', 'STATE', 'CHANGED', 'COMPARED', 'MOVED']
  return formatTable([headings, ...rows], ['left', 'left', 'right', 'right', 'right'])
}

/** Throws when a server was left as it is. */
function checkAll(report: HealReport): void {
  const away = report.filter(({ state }) => state === 'away').map(({ member }) => member)
  if (away.length === 0) return
  throw new SiError('ERR_SI_SYSTEM_CALL', `Cannot heal ${away.join(', ')}: not there`, {
    hint: 'Start si-gridfs serve there, and heal again',
  })
}
