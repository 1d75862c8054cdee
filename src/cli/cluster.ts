// si-cluster: the hosts and groups of cluster.yaml, checked, shown, taken over and handed on.
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import type { Cluster, NodeConfiguration } from '../cluster/cluster.ts'
import { exists, formatDuration, isSiError, messageOf, SiError } from '../core/core.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { clusterOption, selectHosts } from './cluster-arguments.ts'
import { createOverride } from './cluster-override.ts'
import { createCommand, type Outcome } from './command.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'

interface ClusterFlags {
  readonly cluster: string
  readonly json?: true
}

interface CheckFlags extends ClusterFlags {
  readonly repository: string
}

interface ExportFlags extends ClusterFlags {
  readonly format: 'clustershell' | 'ansible'
}

export function createClusterCommand(io: Io, outcome: Outcome): Command {
  return createCommand({
    name: 'cluster',
    summary: 'Check and show what cluster.yaml says of hosts and groups; make overrides',
    examples: [
      'si-cluster check                       every fault with its line',
      'si-cluster show                        all hosts',
      'si-cluster show node[001-016]          these',
      'si-cluster show node001 --json         all that holds for one',
      'si-cluster override compute ./files    make an override of a directory',
      'si-cluster import /etc/systemimager/cluster.xml > cluster.yaml',
      'si-cluster export --format clustershell > /etc/clustershell/groups.d/swarmimager.yaml',
      'si-cluster export --format ansible > inventory.yaml',
    ],
    exitCodes: [0, 1, 2, 10],
  })
    .addCommand(createCheck(io))
    .addCommand(createShow(io))
    .addCommand(createImport(io))
    .addCommand(createExport(io))
    .addCommand(createOverride(io, outcome))
}

function createCheck(io: Io): Command {
  return partCommand('check', 'Read cluster.yaml and name its faults', 'si-cluster check')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .action((flags: CheckFlags) => runCheck(flags, io))
}

function createShow(io: Io): Command {
  return partCommand('show', 'Show hosts and what holds for them', 'si-cluster show node[001-016]')
    .argument('[hosts]', 'only these: names, ranges, or @GROUP')
    .addOption(jsonOption())
    .action((hosts: string | undefined, flags: ClusterFlags) => runShow(hosts, flags, io))
}

function createImport(io: Io): Command {
  const example = 'si-cluster import /etc/systemimager/cluster.xml > cluster.yaml'
  return createCommand({
    name: 'import',
    summary: "Make a cluster.yaml of SystemImager's cluster.xml, on standard output",
    examples: [example],
    exitCodes: [0, 1, 2],
  })
    .argument('<file>', 'the cluster.xml')
    .action((file: string) => runImport(file, io))
}

function createExport(io: Io): Command {
  return partCommand(
    'export',
    'Write the groups for other tools, on standard output',
    'si-cluster export --format ansible > inventory.yaml',
  )
    .addOption(
      new Option('--format <tool>', 'for whom')
        .choices(['clustershell', 'ansible'])
        .makeOptionMandatory(),
    )
    .action((flags: ExportFlags) => runExport(flags, io))
}

function partCommand(name: string, summary: string, example: string): Command {
  const description = { name, summary, examples: [example], exitCodes: [0, 1, 2, 10] as const }
  return createCommand(description).addOption(clusterOption())
}

async function runCheck(flags: CheckFlags, io: Io): Promise<void> {
  const { loadCluster, resolveNode } = await import('../cluster/cluster.ts')
  const cluster = await loadCluster(flags.cluster)
  const nodes = [...cluster.hosts.keys()].map((name) => resolveNode(cluster, { name }))
  const missingImages = await checkImages(nodes, flags.repository)
  const [hosts, groups] = [cluster.hosts.size, cluster.groups.order.length]
  const unreachable = [...cluster.hosts.values()].filter(
    ({ macs, uuids }) => macs.length + uuids.length === 0,
  )
  if (flags.json) {
    const withoutAddress = unreachable.map(({ name }) => name)
    const found = { file: cluster.file, hosts, groups, withoutAddress, missingImages }
    writeJson(io, { type: 'cluster', ...found })
    return
  }
  if (unreachable.length > 0) {
    const { foldNames } = await import('../cluster/cluster.ts')
    const names = foldNames(unreachable.map(({ name }) => name))
    io.stderr.write(`si-cluster: no mac and no uuid: ${names} will not be known when they boot\n`)
  }
  if (missingImages.length > 0) {
    const names = missingImages.join(', ')
    io.stderr.write(`si-cluster: ${flags.repository} has no ${names}: hosts cannot install that\n`)
  }
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? '' : 's'}`
  const known = `${count(hosts, 'host')}, ${count(groups, 'group')}`
  io.stdout.write(`${cluster.file}: ${known}, no fault\n`)
}

/**
 * Images and overrides that the repository has not; none where there is no repository, as on a desk. Layouts are judged
 * together with the images that they are for. Throws ERR_SI_CONFIGURATION.
 */
async function checkImages(
  nodes: readonly NodeConfiguration[],
  directory: string,
): Promise<readonly string[]> {
  if (!(await exists(directory))) return []
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const repository = await openRepository(directory)
  const missing: string[] = []
  for (const text of new Set(nodes.flatMap(({ image, overrides }) => [image, ...overrides]))) {
    const { name, version } = parseImageSpec(text)
    try {
      const { manifestPath } = await repository.open(name, version)
      const users = nodes.filter(({ image }) => image === text)
      await checkLayouts(manifestPath, users)
    } catch (error) {
      if (!isSiError(error, 'ERR_SI_IMAGE_NOT_FOUND')) throw error
      missing.push(text)
    }
  }
  return missing
}

async function checkLayouts(
  manifestPath: string,
  nodes: readonly NodeConfiguration[],
): Promise<void> {
  const users = new Map(nodes.map(({ layout, host }) => [layout, host]))
  users.delete(null)
  if (users.size === 0) return
  const { checkLayoutFile } = await import('../deploy/deploy.ts')
  const { readManifestHeader } = await import('../image/image.ts')
  const header = await readManifestHeader(createReadStream(manifestPath))
  for (const [layout, host] of users) {
    if (layout !== null) checkLayoutFile(layout, { file: `the layout of ${host}`, header })
  }
}

async function runShow(hosts: string | undefined, flags: ClusterFlags, io: Io): Promise<void> {
  const { loadCluster, resolveNode } = await import('../cluster/cluster.ts')
  const cluster = await loadCluster(flags.cluster)
  const names = await selectHosts(cluster, hosts)
  const rows = names.map((name) => resolveNode(cluster, { name }))
  if (flags.json) {
    for (const row of rows) writeJson(io, row)
    return
  }
  if (rows.length === 1 && rows[0] !== undefined) return showOne(cluster, rows[0], io)
  const table = rows.map((row) => [
    row.host,
    cluster.hosts.get(row.host)?.macs[0] ?? '-',
    row.image,
    row.boot,
    row.groups.join(',') || '-',
    row.overrides.join(',') || '-',
  ])
  io.stdout.write(formatTable([['HOST', 'MAC', 'IMAGE', 'BOOT', 'GROUPS', 'OVERRIDES'], ...table]))
}

function showOne(cluster: Cluster, row: NodeConfiguration, io: Io): void {
  const limit = row.scriptTimeLimitMs
  const { macs = [], uuids = [] } = cluster.hosts.get(row.host) ?? {}
  const names = (scripts: NodeConfiguration['preInstall']) => scripts.map(({ name }) => name)
  const interfaces = (row.network?.interfaces ?? []).map(({ name, mac, addresses }) => {
    const where = addresses === 'dhcp' ? addresses : addresses.join(' ')
    return `${name ?? mac ?? ''} ${where}`
  })
  const lines: readonly (readonly [string, readonly string[]])[] = [
    ['host', [row.host]],
    ['mac', macs],
    ['uuid', uuids],
    ['image', [row.image]],
    ['groups', row.groups],
    ['boot', [row.boot]],
    ['layout', [row.layout === null ? 'as on the golden client' : 'of its own']],
    ['network', row.network === null ? ['as in the image'] : interfaces],
    ['overrides', row.overrides],
    ['preInstall', names(row.preInstall)],
    ['postInstall', names(row.postInstall)],
    ['scriptTimeLimit', [limit === null ? 'none' : formatDuration(limit)]],
    ['onScriptFailure', [row.onScriptFailure]],
    ['afterInstall', [row.afterInstall]],
    ['parameters', Object.entries(row.parameters).map(([key, value]) => `${key}=${value}`)],
  ]
  const table = lines.map(([key, values]) => [key, values.join(', ') || '-'])
  io.stdout.write(formatTable(table))
}

async function runImport(file: string, io: Io): Promise<void> {
  const { importClusterXml } = await import('../cluster/cluster.ts')
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read ${file}: ${messageOf(error)}`, {
      hint: "Name SystemImager's file, such as /etc/systemimager/cluster.xml",
    })
  })
  const { yaml, notes } = importClusterXml(text, file)
  for (const note of notes) io.stderr.write(`si-cluster: ${note}\n`)
  io.stdout.write(yaml)
}

async function runExport(flags: ExportFlags, io: Io): Promise<void> {
  const { loadCluster, toAnsible, toClusterShell } = await import('../cluster/cluster.ts')
  const cluster = await loadCluster(flags.cluster)
  io.stdout.write(flags.format === 'ansible' ? toAnsible(cluster) : toClusterShell(cluster))
}
