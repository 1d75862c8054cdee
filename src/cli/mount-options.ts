// What mount(8) and fstab say to a mount helper, as flags of si-gridfs mount. Pure. Invariant: an option that
// nobody knows is named, never ignored, unless mount was called with -s.
import { SiError } from '../core/core.ts'

export interface HelperMount {
  /** Of si-gridfs mount, without source and folder. */
  readonly flags: readonly string[]
  readonly port: number | undefined
  /** Where the mount's process writes its log. */
  readonly logFile: string | undefined
}

/** For mount itself, init or the administrator's eyes. */
const NOT_OURS = new Set(
  'defaults auto noauto _netdev nofail user nouser users owner group hard'.split(' '),
)

/** Said to the kernel as they are. */
const KERNEL = new Set(
  (
    'ro rw suid nosuid dev nodev exec noexec atime noatime relatime norelatime strictatime ' +
    'nostrictatime diratime nodiratime lazytime nolazytime'
  ).split(' '),
)

/** Options with a value, and the flag that each is. */
const VALUED: Readonly<Record<string, string>> = {
  ...{ soft: '--soft', cache: '--cache', pki: '--pki' },
  ...{ cert: '--certificate', key: '--key', ca: '--trust', crl: '--crl' },
  passphrase_file: '--key-passphrase-file',
}

/** Throws ERR_SI_USAGE. */
export function parseMountOptions(
  text: string,
  { ignoresUnknown = false }: { readonly ignoresUnknown?: boolean } = {},
): HelperMount {
  const flags: string[] = []
  const kernel: string[] = []
  let port: number | undefined
  let logFile: string | undefined
  for (const option of text.split(',').filter((one) => one !== '')) {
    const at = option.indexOf('=')
    const [name, value] = at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)]
    if (value === undefined && KERNEL.has(name)) kernel.push(name)
    else if (NOT_OURS.has(name) || /^(x-|comment$)/.test(name)) continue
    else if (name === 'port' && value !== undefined) port = parsePort(value)
    else if (name === 'log' && value !== undefined) logFile = value
    else if (value !== undefined && VALUED[name] !== undefined) flags.push(VALUED[name], value)
    else if (!ignoresUnknown) throw unknownOption(option)
  }
  if (kernel.length > 0) flags.push('--options', kernel.join(','))
  return { flags, port, logFile }
}

/** The list as it is. Throws ERR_SI_USAGE for what is not said to the kernel. */
export function parseKernelOptions(text: string): string {
  const unknown = text.split(',').find((one) => one !== '' && !KERNEL.has(one))
  if (unknown === undefined) return text
  throw new SiError('ERR_SI_USAGE', `Cannot mount with ${JSON.stringify(unknown)}`, {
    hint: `Use some of: ${[...KERNEL].join(', ')}`,
  })
}

/** SERVER:/EXPORT with a port, unless it names one. */
export function withPort(source: string, port: number | undefined): string {
  const match = /^(\[[^\]]*\]|[^:[\]/]+):(\/.*)$/.exec(source)
  return port === undefined || match === null ? source : `${match[1]}:${port}:${match[2]}`
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port
  throw new SiError('ERR_SI_USAGE', `Cannot use port=${text}`, {
    hint: 'Write a number from 1 to 65535',
  })
}

function unknownOption(option: string): SiError {
  const known = ['port', ...Object.keys(VALUED), 'log', ...KERNEL].join(', ')
  return new SiError(
    'ERR_SI_USAGE',
    `Cannot mount with ${JSON.stringify(option)}: no such option`,
    {
      hint: `Use some of: ${known}`,
    },
  )
}
