// The target's /etc/fstab; pure. Invariant: a line of the golden client stays as it is where what it names is on the
// target, too; other lines for disks name their file system by UUID, or become comments when there is none. Spec: fstab(5).
import { unescapeOctal } from '../../host/host.ts'
import type { MadeFileSystem } from '../made-storage.ts'

interface FstabLine {
  readonly text: string
  /** Null: a comment, a blank line, or nothing that could be read. */
  readonly fields: FstabFields | null
}

interface FstabFields {
  readonly source: string
  readonly mountPoint: string
  readonly type: string
  readonly options: string
  readonly dump: string
  readonly pass: string
}

export interface FstabFacts {
  readonly fileSystems: readonly MadeFileSystem[]
  /** Devices without which the machine is to boot: what one disk of a RAID has for itself. */
  readonly dispensable: ReadonlySet<string>
  /** Whether a path (`/swapfile`) is in the deployed tree. */
  exists(path: string): boolean
}

/** Mounted by hand, if at all: whether there is such a device does not matter. */
const REMOVABLE = /^\/dev\/(sr|cdrom|dvd|fd|floppy)/
const DISK_SOURCE = /^(\/dev\/|UUID=|LABEL=|PARTUUID=|PARTLABEL=|ID=)/

/** Golden client's fstab → the target's. */
export function formatFstab(golden: string, facts: FstabFacts): string {
  const fileSystems = facts.fileSystems.filter(belongsIntoFstab)
  const missing = new Set(fileSystems)
  const isDispensable = ({ device }: MadeFileSystem) => facts.dispensable.has(device)
  const parsed = golden.split('\n').map(parseLine)
  while (parsed.at(-1)?.text === '') parsed.pop()
  const claims = claimFileSystems(parsed, missing)
  const format = (made: MadeFileSystem, golden: FstabFields | undefined) =>
    formatLine(made, golden, isDispensable(made))
  const lines = parsed.map((line) => {
    const { fields, text } = line
    if (fields === null) return text
    const made = claims.get(line)
    if (made !== undefined) {
      missing.delete(made)
      const isSafe = !isDispensable(made) || hasOption(fields.options, 'nofail')
      return isStillRight(fields, made) && isSafe ? text : format(made, fields)
    }
    return isLost(fields, facts) ? `# not on this machine: ${text}` : text
  })
  return [...lines, ...[...missing].map((made) => format(made, undefined)), ''].join('\n')
}

function belongsIntoFstab({ type, mountPoint, uuid }: MadeFileSystem): boolean {
  return uuid !== '' && (mountPoint !== null || type === 'swap')
}

/** By mount point; swap areas by identity first, those that are left in their order. */
function claimFileSystems(
  lines: readonly FstabLine[],
  fileSystems: ReadonlySet<MadeFileSystem>,
): ReadonlyMap<FstabLine, MadeFileSystem> {
  const claims = new Map<FstabLine, MadeFileSystem>()
  const isFree = (made: MadeFileSystem) => ![...claims.values()].includes(made)
  const claim = (matches: (fields: FstabFields, made: MadeFileSystem) => boolean) => {
    for (const line of lines) {
      const { fields } = line
      if (fields === null || claims.has(line) || !DISK_SOURCE.test(fields.source)) continue
      const made = [...fileSystems].find((made) => isFree(made) && matches(fields, made))
      if (made !== undefined) claims.set(line, made)
    }
  }
  claim((fields, made) => made.mountPoint !== null && fields.mountPoint === made.mountPoint)
  claim((fields, made) => isSwap(fields, made) && names(fields.source, made))
  claim((fields, made) => isSwap(fields, made))
  return claims
}

function isSwap(fields: FstabFields, made: MadeFileSystem): boolean {
  return fields.type === 'swap' && made.type === 'swap'
}

function isStillRight(fields: FstabFields, made: MadeFileSystem): boolean {
  const isSameType = fields.type === made.type || fields.type === 'auto'
  const isSameUse = made.mountOptions === '' || made.mountOptions === fields.options
  return isSameType && isSameUse && names(fields.source, made)
}

/** Device names and partition UUIDs may mean something else tomorrow, or on another disk. */
function names(source: string, { uuid, label }: MadeFileSystem): boolean {
  const [tag, value = ''] = source.replaceAll('"', '').split('=', 2)
  if (tag === 'UUID') return value.toLowerCase() === uuid.toLowerCase()
  return tag === 'LABEL' && label !== '' && unescapeOctal(value) === label
}

function formatLine(
  made: MadeFileSystem,
  golden: FstabFields | undefined,
  isDispensable: boolean,
): string {
  const { type, mountPoint, uuid } = made
  const own = made.mountOptions || golden?.options || DEFAULT_OPTIONS[type] || 'defaults'
  const options = isDispensable && !hasOption(own, 'nofail') ? `${own},${DISPENSABLE}` : own
  const fields = [
    `UUID=${uuid}`,
    mountPoint === null ? 'none' : escapeField(mountPoint),
    ...[type, escapeField(options), golden?.dump ?? '0'],
    golden !== undefined && golden.type === type ? golden.pass : passOf(made),
  ]
  return fields.join(' ')
}

/** systemd.mount(5): otherwise the boot waits for the device, and ends in the emergency shell. */
const DISPENSABLE = 'nofail,x-systemd.device-timeout=10s'

function hasOption(options: string, option: string): boolean {
  return options.split(',').includes(option)
}

const DEFAULT_OPTIONS: Readonly<Partial<Record<string, string>>> = {
  swap: 'sw',
  vfat: 'umask=0077',
}

/** xfs and btrfs check themselves when they are mounted. */
function passOf({ type, mountPoint }: MadeFileSystem): string {
  if (!/^(ext[234]|vfat)$/.test(type)) return '0'
  return mountPoint === '/' ? '1' : '2'
}

/** Disks that were not deployed, and swap files, which no image holds. */
function isLost({ source, type, options }: FstabFields, facts: FstabFacts): boolean {
  if (/(^|,)r?bind(,|$)/.test(options)) return false
  if (DISK_SOURCE.test(source)) return !REMOVABLE.test(source)
  return type === 'swap' && source.startsWith('/') && !facts.exists(unescapeOctal(source))
}

function parseLine(text: string): FstabLine {
  const parts = text.trim().split(/\s+/)
  const [source = '', mountPoint = '', type = '', options = 'defaults', dump = '0', pass = '0'] =
    parts
  if (source.startsWith('#') || type === '') return { text, fields: null }
  const fields = { source, mountPoint: unescapeOctal(mountPoint), type, options, dump, pass }
  return { text, fields }
}

function escapeField(text: string): string {
  return text.replace(/[\s\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
}
