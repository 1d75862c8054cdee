// What a golden client is: one script's answers, parsed. Invariant: a golden client that cannot be
// captured (no root, no GNU tar) is refused here, before anything is created.
import { randomBytes } from 'node:crypto'
import { SiError } from '../core/core.ts'
import { parseBlkid } from '../host/host.ts'
import { parseLsblk, parseLvs, parsePvs, parseSfdisk, type BlockDevices } from './block-devices.ts'
import type { GoldenClient } from './golden-client.ts'
import { parseDf, parseMountInfo, parseSwaps, type Mount, type Swap } from './mounts.ts'
import { probeScript } from './probe-script.ts'

export interface ProbeFacts {
  readonly host: string
  /** PRETTY_NAME of os-release(5), empty when unknown. */
  readonly operatingSystem: string
  /** As `uname -m`. */
  readonly architecture: string
  /** As `uname -r`; of a local tree its newest kernel, empty without one. */
  readonly kernel: string
  readonly tarVersion: TarVersion
  /** The text of /etc/fstab, empty when there is none. */
  readonly fstab: string
  readonly hasEfiFirmware: boolean
  /** Mounts in and below the tree, mount points relative to its root. */
  readonly mounts: readonly Mount[]
  readonly swaps: readonly Swap[]
  /** Bytes in use by mount point (relative to the tree's root). */
  readonly usedBytes: ReadonlyMap<string, number>
  /** Null when lsblk is missing or cannot see block devices. */
  readonly devices: BlockDevices | null
}

export interface TarVersion {
  readonly major: number
  readonly minor: number
}

/** --sort=name, --xattrs, --acls and --selinux need this version of GNU tar. */
const OLDEST_TAR: TarVersion = { major: 1, minor: 28 }

/** Throws ERR_SI_GOLDEN_CLIENT: unreachable, not root, no or too old GNU tar, noise of a login shell. */
export async function probe(client: GoldenClient, signal: AbortSignal): Promise<ProbeFacts> {
  const mark = `@si-${randomBytes(8).toString('hex')}`
  const result = await client.runScript(probeScript(client.root, mark), signal)
  return parseProbe(client, mark, result)
}

/** The parser of probeScript's output; `stderr` is used for messages only. */
export function parseProbe(
  client: Pick<GoldenClient, 'description' | 'root'>,
  mark: string,
  output: { readonly stdout: string; readonly stderr: string },
): ProbeFacts {
  const sections = splitSections(client.description, mark, output)
  const { root } = client
  const isMachine = root === '/'
  const text = (name: string) => sections.get(name)?.trim() ?? ''
  if (text('uid') !== '0') throw notRootError(client, text('uid'))
  requireFind(client.description, text('find'))
  const hostname = text('hostname')
  return {
    host: (isMachine ? text('host') : hostname) || client.description,
    operatingSystem: parseOsRelease(text('os-release')),
    architecture: text('architecture'),
    kernel: isMachine ? text('kernel') : newestKernel(text('modules')),
    tarVersion: requireTar(client.description, text('tar')),
    fstab: sections.get('fstab') ?? '',
    hasEfiFirmware: isMachine && sections.has('efi'),
    mounts: parseMountInfo(text('mounts'), root),
    swaps: parseSwaps(text('swaps'), root),
    usedBytes: parseDf(text('df'), root),
    devices: collectDevices(sections),
  }
}

/** Sections that ended with status 0, by name. */
function splitSections(
  description: string,
  mark: string,
  output: { readonly stdout: string; readonly stderr: string },
): Map<string, string> {
  const [noise = '', ...parts] = output.stdout.split(`${mark} `)
  if (noise.trim() !== '') {
    throw new SiError(
      'ERR_SI_GOLDEN_CLIENT',
      `Cannot capture ${description}: its login shell prints ${JSON.stringify(noise.trim().slice(0, 60))}`,
      { hint: 'Make the start-up files of its shell silent when there is no terminal' },
    )
  }
  const sections = new Map<string, string>()
  for (let index = 0; index + 1 < parts.length; index += 2) {
    const [start = '', end = ''] = [parts[index], parts[index + 1]]
    const lineEnd = start.indexOf('\n')
    if (end.trimEnd() === '= 0') sections.set(start.slice(0, lineEnd), start.slice(lineEnd + 1, -1))
  }
  if (!sections.has('end')) {
    const words = output.stderr.trim().split('\n').at(-1) ?? ''
    throw new SiError(
      'ERR_SI_GOLDEN_CLIENT',
      `Cannot capture ${description}: it did not run our shell script${words === '' ? '' : `: ${words}`}`,
      { hint: 'Check that its login shell can run sh' },
    )
  }
  return sections
}

function notRootError(client: Pick<GoldenClient, 'description' | 'root'>, uid: string): SiError {
  const who = uid === '' ? 'the user' : `user ${uid}`
  return new SiError(
    'ERR_SI_GOLDEN_CLIENT',
    `Cannot capture ${client.description}: ${who} is not root and cannot read every file`,
    { hint: client.root === '/' ? 'Log in as root, such as root@HOST' : 'Run it as root' },
  )
}

function requireTar(description: string, text: string): TarVersion {
  const match = /^tar \(GNU tar\) (\d+)\.(\d+)/.exec(text)
  const version = { major: Number(match?.[1]), minor: Number(match?.[2]) }
  const isNewEnough =
    version.major > OLDEST_TAR.major ||
    (version.major === OLDEST_TAR.major && version.minor >= OLDEST_TAR.minor)
  if (match !== null && isNewEnough) return version
  const found = text === '' ? 'no tar' : JSON.stringify(text.split('\n')[0])
  throw new SiError(
    'ERR_SI_GOLDEN_CLIENT',
    `Cannot capture ${description}: it has ${found}, GNU tar 1.28 or newer is needed`,
    { hint: 'Install the package tar on the golden client' },
  )
}

/** Other programs of that name cannot print what we ask for. */
function requireFind(description: string, text: string): void {
  if (/^find \(GNU findutils\)/.test(text)) return
  const found = text === '' ? 'no find' : JSON.stringify(text.split('\n')[0])
  throw new SiError(
    'ERR_SI_GOLDEN_CLIENT',
    `Cannot capture ${description}: it has ${found}, GNU find is needed`,
    { hint: 'Install the package findutils on the golden client' },
  )
}

function parseOsRelease(text: string): string {
  const value = /^PRETTY_NAME=(.*)$/m.exec(text)?.[1]?.trim() ?? ''
  const quoted = /^(["'])(.*)\1$/.exec(value)
  return quoted === null ? value : (quoted[2] ?? '').replace(/\\(.)/g, '$1')
}

function newestKernel(modules: string): string {
  const order = new Intl.Collator('en', { numeric: true }).compare
  return modules.split('\n').filter(Boolean).sort(order).at(-1) ?? ''
}

function collectDevices(sections: ReadonlyMap<string, string>): BlockDevices | null {
  const lsblk = sections.get('lsblk')
  const nodes = lsblk === undefined ? null : parseLsblk(lsblk)
  if (nodes === null) return null
  const named = (program: string) =>
    [...sections]
      .filter(([name]) => name.startsWith(`${program} `))
      .map(([name, text]) => [name.slice(program.length + 1), text] as const)
  return {
    nodes,
    tables: new Map(named('sfdisk').map(([disk, text]) => [disk, parseSfdisk(text)])),
    contents: new Map(named('blkid').map(([name, text]) => [name, parseBlkid(text)])),
    arrays: new Map(named('mdadm').map(([name, text]) => [name, parseBlkid(text)])),
    volumes: parseLvs(sections.get('lvs') ?? ''),
    physicalVolumes: parsePvs(sections.get('pvs') ?? ''),
  }
}
