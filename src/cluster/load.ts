// cluster.yaml from the disk, with the scripts and layouts that it names. Invariant: a cluster that was loaded
// needs no file any more: what a node is told cannot change between two of its parts.
import { open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isSiError, messageOf, type SiError } from '../core/core.ts'
import { checkLayoutFile, parseInterpreter } from '../deploy/deploy.ts'
import { readConfiguration, type Configuration } from '../config/config.ts'
import { resolveGroups, type Groups } from './groups.ts'
import { expandHosts, type ClusterHost } from './hosts.ts'
import { clusterSchema, type ClusterText, type Settings } from './settings.ts'

export interface Cluster {
  readonly file: string
  readonly configuration: Configuration<ClusterText>
  /** By name, in the order of the file. */
  readonly hosts: ReadonlyMap<string, ClusterHost>
  readonly groups: Groups
  /** Text of scripts and layouts by their path as the file has it. */
  readonly texts: ReadonlyMap<string, string>
}

/** Nodes get them within one answer. */
const MAX_TEXT_BYTES = 2 ** 20

/** Throws ERR_SI_CONFIGURATION. Paths in the file are relative to its folder. */
export async function loadCluster(file: string): Promise<Cluster> {
  const configuration = await readConfiguration({ file, schema: clusterSchema, scalars: 'text' })
  const hosts = expandHosts(configuration)
  const texts = configuration.value.groups ?? {}
  const groups = resolveGroups(
    texts,
    (name) => hosts.has(name),
    ({ group, key, message }) => {
      throw configuration.fault(['groups', group, key], message)
    },
  )
  return { file, configuration, hosts, groups, texts: await readTexts(configuration) }
}

async function readTexts(
  configuration: Configuration<ClusterText>,
): Promise<ReadonlyMap<string, string>> {
  const { file, value, fault } = configuration
  const texts = new Map<string, string>()
  for (const { path, settings } of allSettings(value)) {
    const { layout, preInstall = [], postInstall = [] } = settings
    const wanted = [
      ...(layout === undefined ? [] : [{ key: 'layout', name: layout }]),
      ...preInstall.map((name) => ({ key: 'preInstall', name })),
      ...postInstall.map((name) => ({ key: 'postInstall', name })),
    ]
    for (const { key, name } of wanted) {
      if (texts.has(name)) continue
      const text = await readText(resolve(dirname(file), name)).catch((error: unknown) => {
        const hint = 'Paths are relative to the folder of this file'
        throw fault([...path, key], `cannot read ${name}: ${messageOf(error)}`, hint)
      })
      if (key === 'layout') checkLayoutFile(text, { file: resolve(dirname(file), name) })
      else checkScript({ name, text }, (why, hint) => fault([...path, key], why, hint))
      texts.set(name, text)
    }
  }
  return texts
}

function checkScript(
  script: { readonly name: string; readonly text: string },
  fault: (why: string, hint: string | undefined) => SiError,
): void {
  try {
    parseInterpreter(script)
  } catch (error) {
    if (!isSiError(error)) throw error
    throw fault(error.message, error.hint)
  }
}

async function readText(path: string): Promise<string> {
  await using handle = await open(path, 'r')
  const info = await handle.stat()
  if (!info.isFile()) throw new Error('it is no file')
  if (info.size > MAX_TEXT_BYTES) throw new Error('it is larger than 1 MiB')
  return await handle.readFile('utf8')
}

interface PlacedSettings {
  readonly path: readonly string[]
  readonly settings: Settings
}

function allSettings(value: ClusterText): readonly PlacedSettings[] {
  const defaults = { path: ['defaults'], settings: value.defaults ?? {} }
  const others = (['images', 'groups', 'hosts'] as const).flatMap((section) =>
    Object.entries(value[section] ?? {}).map(([key, settings]) => ({
      path: [section, key],
      settings,
    })),
  )
  return [defaults, ...others]
}
