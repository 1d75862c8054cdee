// si-netboot: what a network boot does with a machine, installation or start from its own disk.
import { join } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { BootChoice, Cluster, KeptReport, NodeStore } from '../cluster/cluster.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { clusterOption, selectHosts } from './cluster-arguments.ts'
import { createCommand } from './command.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'

interface NetbootFlags {
  readonly cluster: string
  readonly repository: string
  readonly nodes?: string
  readonly json?: true
}

/** `default`: what cluster.yaml says. */
type Choice = BootChoice | 'default'

const CHOICES: readonly Choice[] = ['install', 'local', 'default']

export const nodesOption = () =>
  new Option(
    '--nodes <dir>',
    'where the image server keeps what it knows of nodes (default: nodes in the repository)',
  ).env('SI_NODES')

export function nodesDirectory(flags: {
  readonly nodes?: string
  readonly repository: string
}): string {
  return flags.nodes ?? join(flags.repository, 'nodes')
}

export function createNetbootCommand(io: Io): Command {
  return createCommand({
    name: 'netboot',
    summary: 'Choose per host whether a network boot installs it or starts its own disk',
    examples: [
      'si-netboot node[001-016] install      at their next network boot',
      'si-netboot @gpu local',
      'si-netboot node007 default            as cluster.yaml says',
      'si-netboot                            what holds now',
    ],
    exitCodes: [0, 1, 2, 10],
  })
    .argument('[hosts]', 'names, ranges, or @GROUP; none: all')
    .argument('[choice]', `one of ${CHOICES.join(', ')}; none: show it`, parseChoice)
    .addOption(clusterOption())
    .addOption(repositoryOption())
    .addOption(nodesOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nA node that reports a finished installation is switched to local by the image server.',
    )
    .action((hosts: string | undefined, choice: Choice | undefined, flags: NetbootFlags) =>
      runNetboot({ hosts, choice }, flags, io),
    )
}

function parseChoice(text: string): Choice {
  const choice = CHOICES.find((known) => known === text)
  if (choice !== undefined) return choice
  throw new InvalidArgumentError(`It must be one of ${CHOICES.join(', ')}.`)
}

interface Request {
  readonly hosts: string | undefined
  readonly choice: Choice | undefined
}

async function runNetboot(request: Request, flags: NetbootFlags, io: Io): Promise<void> {
  const { loadCluster, openNodeStore } = await import('../cluster/cluster.ts')
  const cluster = await loadCluster(flags.cluster)
  const store = openNodeStore(nodesDirectory(flags))
  const names = await selectHosts(cluster, request.hosts)
  const { choice } = request
  if (choice !== undefined) {
    await refuseImageless(cluster, choice === 'install' ? names : [])
    for (const name of names) await store.setBoot(name, choice === 'default' ? undefined : choice)
  }
  await show(cluster, store, { names, flags, io })
}

/** What cannot be installed is better said now than on the console of a node. */
async function refuseImageless(cluster: Cluster, names: readonly string[]): Promise<void> {
  const { resolveNode } = await import('../cluster/cluster.ts')
  for (const name of names) resolveNode(cluster, { name })
}

async function show(
  cluster: Cluster,
  store: NodeStore,
  what: { readonly names: readonly string[]; readonly flags: NetbootFlags; readonly io: Io },
): Promise<void> {
  const { findHost, settingsOf } = await import('../cluster/cluster.ts')
  const { names, flags, io } = what
  const rows = await Promise.all(
    names.map(async (host) => {
      const chosen = await store.bootOf(host)
      const { boot = 'local' } = settingsOf(cluster, findHost(cluster, { name: host }))
      const report = (await store.reportOf(host)) ?? null
      return { host, boot: chosen ?? boot, isChosen: chosen !== undefined, report }
    }),
  )
  if (flags.json) for (const row of rows) writeJson(io, row)
  else {
    const table = rows.map(({ host, boot, report }) => [
      host,
      boot,
      report === null ? '-' : summaryOf(report),
      report?.receivedAt.slice(0, 19).replace('T', ' ') ?? '-',
    ])
    io.stdout.write(formatTable([['HOST', 'BOOT', 'LAST REPORT', 'AT (UTC)'], ...table]))
    for (const { host, report } of rows) {
      if (report?.error === undefined) continue
      io.stdout.write(`\n${host}: ${report.error}\n`)
      if (report.hint !== undefined) io.stdout.write(`  ${report.hint}\n`)
    }
  }
}

/** What failed needs more room than a table has. */
function summaryOf({ phase, message, error, code }: KeptReport): string {
  return error === undefined ? `${phase} ${message}`.trim() : `${phase} ${code ?? ''}`.trim()
}
