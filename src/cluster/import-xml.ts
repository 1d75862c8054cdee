// SystemImager's cluster.xml → cluster.yaml. There groups have a priority, the lowest number the most important,
// and hosts are named by ranges such as node001-node128; nothing there says how a machine is recognised.
// Invariant: what cannot be taken over is named in a note.
import { stringify } from 'yaml'
import { SiError } from '../core/core.ts'
import { expandList, foldNames } from './range.ts'
import { parseXml, type XmlElement } from './xml.ts'

export interface Imported {
  readonly yaml: string
  readonly notes: readonly string[]
}

interface XmlGroup {
  readonly name: string
  readonly priority: number
  readonly image: string | undefined
  readonly overrides: readonly string[]
  readonly hosts: readonly string[]
}

const KNOWN = new Set(['master', 'name', 'override', 'group', 'base_image', 'image'])
const KNOWN_IN_GROUP = new Set(['name', 'priority', 'image', 'override', 'node', 'base_image'])

/** Throws ERR_SI_CONFIGURATION. */
export function importClusterXml(text: string, file: string): Imported {
  const root = parseXml(text, file)
  if (root.name !== 'xml') {
    const message = `Cannot use ${file}: its root is <${root.name}>, that of a cluster.xml is <xml>`
    throw new SiError('ERR_SI_CONFIGURATION', message)
  }
  const notes = [...strangers(root, KNOWN)]
  const groups = root.children
    .filter(({ name }) => name === 'group')
    .map((element) => {
      notes.push(...strangers(element, KNOWN_IN_GROUP))
      return readGroup(element, file)
    })
    .sort((a, b) => b.priority - a.priority) // later ones win here, the lowest number there
  const hosts = new Set(groups.flatMap((group) => group.hosts))
  if (hosts.size > 0)
    notes.push('add the mac of each host, by which it is recognised when it boots')
  const master = first(root, 'master')
  if (master !== undefined) notes.push(`the image server was ${master}: that is no setting here`)
  const image = first(root, 'image') ?? first(root, 'base_image')
  const overrides = all(root, 'override')
  const value = {
    ...(image === undefined && overrides.length === 0
      ? {}
      : {
          defaults: {
            ...(image === undefined ? {} : { image }),
            ...listed('overrides', overrides),
          },
        }),
    groups: Object.fromEntries(groups.map((group) => [group.name, toGroup(group)])),
    hosts: Object.fromEntries(hosts.size === 0 ? [] : foldedKeys(hosts).map((key) => [key, {}])),
  }
  return { yaml: stringify(value, { lineWidth: 0 }), notes }
}

/** One key a family of names, so that MAC addresses can be written beside each. */
function foldedKeys(hosts: ReadonlySet<string>): readonly string[] {
  return foldNames(hosts).match(/(?:\[[^\]]*\]|[^,[])+/g) ?? []
}

function toGroup({ image, overrides, hosts }: XmlGroup) {
  return {
    hosts: foldNames(hosts),
    ...(image === undefined ? {} : { image }),
    ...listed('overrides', overrides),
  }
}

function listed(key: string, values: readonly string[]) {
  return values.length === 0 ? {} : { [key]: values }
}

function readGroup(element: XmlElement, file: string): XmlGroup {
  const name = first(element, 'name')
  if (name === undefined) {
    const message = `Cannot use ${file}: line ${element.line}: the group has no name`
    throw new SiError('ERR_SI_CONFIGURATION', message)
  }
  const priority = Number(first(element, 'priority') ?? Number.MAX_SAFE_INTEGER)
  return {
    ...{ name: toWord(name), priority: Number.isNaN(priority) ? 0 : priority },
    image: first(element, 'image') ?? first(element, 'base_image'),
    overrides: all(element, 'override'),
    hosts: all(element, 'node').flatMap((node) => node.split(/[\s,]+/).flatMap(expandNode)),
  }
}

/** `node001-node128`, `node1-16`, addresses alike; `\-` is a hyphen that is part of a name. */
function expandNode(node: string): readonly string[] {
  const [from = '', to, ...more] = node.split(/(?<!\\)-/)
  const plain = (text: string) => text.replaceAll('\\-', '-').toLowerCase()
  const [, prefix = '', low = '', suffix = ''] = /^(.*?)(\d+)(\..+)?$/.exec(plain(from)) ?? []
  const [, prefix2 = '', high = '', suffix2 = ''] =
    /^(.*?)(\d+)(\..+)?$/.exec(plain(to ?? '')) ?? []
  const isRange =
    more.length === 0 && low !== '' && high !== '' && (prefix2 === prefix || prefix2 === '')
  if (!isRange || suffix !== suffix2) return node === '' ? [] : [plain(node)]
  return expandList(`${prefix}[${low}-${high}]${suffix}`)
}

function all(element: XmlElement, name: string): readonly string[] {
  const texts = element.children.filter((child) => child.name === name).map(({ text }) => text)
  return texts.flatMap((text) => text.split(/[\s,]+/)).filter((text) => text !== '')
}

function first(element: XmlElement, name: string): string | undefined {
  return all(element, name)[0]
}

/** Names of groups had no rules. */
function toWord(name: string): string {
  return name.replace(/[^A-Za-z0-9_.-]/g, '_')
}

function strangers(element: XmlElement, known: ReadonlySet<string>): readonly string[] {
  return element.children
    .filter(({ name }) => !known.has(name))
    .map(({ name, line }) => `line ${line}: <${name}> is not known and left out`)
}
