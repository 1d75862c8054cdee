// Every parameter of si-autoinstall: how its value is read, what holds without it, and what it is for. The README's
// table is checked against this one.
import { isIP } from 'node:net'
import { AFTER_INSTALL_CHOICES } from '../../cluster/cluster.ts'
import { FIRMWARE_CHOICES, INITRAMFS_CHOICES } from '../../deploy/deploy.ts'
import { parseDuration, parseRackName, parseRate, parseSize, SiError } from '../../core/core.ts'

/** Steps of an installation; `si.break=STEP` opens a shell before one. */
export const STEPS = ['network', 'time', 'configuration', 'install', 'finish'] as const
export type Step = (typeof STEPS)[number]

export const AFTER_CHOICES = AFTER_INSTALL_CHOICES
export type After = (typeof AFTER_CHOICES)[number]

export const FAILURE_CHOICES = ['reboot', 'poweroff', 'wait', 'shell'] as const
export type OnFailure = (typeof FAILURE_CHOICES)[number]

export interface StaticAddress {
  readonly address: string
  readonly prefixLength: number
}

interface Parameter<T> {
  readonly parse: (text: string) => T
  readonly fallback: T
  /** For the documentation: what it does, and its default. */
  readonly description: string
}

export const parameterTable = {
  server: parameter(parseServer, undefined, 'URL of si-server, such as http://10.0.0.1:8080'),
  image: parameter(parseImage, undefined, 'NAME or NAME/VERSION to install; the server may know'),
  torrent: parameter(parseUrl, undefined, 'URL of the torrent, in place of server and image'),
  host: parameter(
    parseHostName,
    undefined,
    'name of this machine; default: by MAC address or DHCP',
  ),
  disk: parameter(parseDevice, undefined, 'disk to erase; default: the only one that there is'),
  firmware: parameter(
    choice(FIRMWARE_CHOICES),
    'auto' as const,
    'make the disk bootable by it: auto (as this machine boots), bios, uefi, both, none',
  ),
  initramfs: parameter(
    choice(INITRAMFS_CHOICES),
    'auto' as const,
    "make the system's initramfs anew: auto (where that of the golden client cannot do), always, never",
  ),
  finish: parameter(
    parseYesNo,
    true,
    'no: leave the tree as it is in the image, without boot loader; default: yes',
  ),
  interface: parameter(parseInterface, undefined, 'network card, by name or MAC address'),
  ip: parameter(parseAddress, 'dhcp' as const, 'dhcp, or ADDRESS/PREFIX'),
  gateway: parameter(parseIp, undefined, 'with a fixed address: the router'),
  dns: parameter(list(parseIp), [], 'with a fixed address: name servers, by commas'),
  after: parameter(
    choice(AFTER_CHOICES),
    undefined,
    `${AFTER_CHOICES.join(', ')}; default: reboot`,
  ),
  'seed-for': parameter(parseDuration, 0, 'give pieces to others for this long first, such as 10m'),
  failure: parameter(
    choice(FAILURE_CHOICES),
    'reboot' as const,
    `${FAILURE_CHOICES.join(', ')} after a failure; default: reboot`,
  ),
  'failure-delay': parameter(
    parseDuration,
    300_000,
    'how long a failure is shown before that; default: 5m',
  ),
  shell: parameter(parseYesNo, false, 'a shell on the console after a failure or a crash'),
  break: parameter(
    list(choice(STEPS)),
    [] as readonly Step[],
    `a shell before these steps: ${STEPS.join(', ')}`,
  ),
  watchdog: parameter(
    parseWatchdog,
    120_000,
    'reboot when nothing moves for this long, or off; default: 2m',
  ),
  rack: parameter(
    parseRackName,
    undefined,
    'where the machine stands; neighbours there are preferred',
  ),
  tracker: parameter(list(parseUrl), [], "trackers besides the torrent's own, by commas"),
  peer: parameter(list(String), [], 'HOST:PORT of peers to connect to, by commas'),
  'web-seed': parameter(
    list(parseUrl),
    [],
    'web servers that have the files of the image, by commas',
  ),
  'upload-limit': parameter(parseRate, undefined, 'send pieces no faster, such as 20MiB/s'),
  'download-limit': parameter(parseRate, undefined, 'fetch pieces no faster'),
  'piece-cache': parameter(
    parseSize,
    undefined,
    'memory for pieces; default: half of what is free',
  ),
  'allow-unsigned': parameter(parseYesNo, false, 'also install an image that nobody vouches for'),
} satisfies Record<string, Parameter<never> | Parameter<unknown>>

export type ParameterName = keyof typeof parameterTable

export type NodeParameters = {
  readonly [Name in ParameterName]:
    ReturnType<(typeof parameterTable)[Name]['parse']> | (typeof parameterTable)[Name]['fallback']
}

function parameter<T, F>(parse: (text: string) => T, fallback: F, description: string) {
  return { parse, fallback, description }
}

function fault(message: string, hint?: string): SiError {
  return new SiError('ERR_SI_CONFIGURATION', message, { hint })
}

function parseServer(text: string): string {
  return parseUrl(text).replace(/\/+$/, '')
}

function parseUrl(text: string): string {
  const protocol = URL.parse(text)?.protocol
  if (protocol === 'http:' || protocol === 'https:') return text
  throw fault('it must be an http URL', 'such as http://10.0.0.1:8080')
}

function parseImage(text: string): string {
  if (/^[^/\s]+(?:\/[^/\s]+)?$/.test(text)) return text
  throw fault('it must be NAME or NAME/VERSION')
}

function parseHostName(text: string): string {
  if (/^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/.test(text)) return text
  throw fault('it is no host name')
}

function parseDevice(text: string): string {
  if (/^\/dev\/[^\s]+$/.test(text) && !text.split('/').includes('..')) return text
  throw fault('it must be the path of a disk', 'such as /dev/sda or /dev/disk/by-id/…')
}

function parseInterface(text: string): string {
  if (/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return text.toLowerCase()
  if (/^[A-Za-z0-9._-]{1,15}$/.test(text)) return text
  throw fault('it must be the name or the MAC address of a network card')
}

function parseAddress(text: string): 'dhcp' | StaticAddress {
  if (text === 'dhcp') return text
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? []
  const family = isIP(address)
  const prefixLength = Number(bits)
  if (family !== 0 && bits !== '' && prefixLength <= (family === 4 ? 32 : 128)) {
    return { address, prefixLength }
  }
  throw fault('it must be dhcp or an address with its prefix length', 'such as 10.0.0.7/24')
}

function parseIp(text: string): string {
  if (isIP(text) !== 0) return text
  throw fault('it is no IP address')
}

function parseYesNo(text: string): boolean {
  if (['yes', 'true', '1', 'on'].includes(text)) return true
  if (['no', 'false', '0', 'off'].includes(text)) return false
  throw fault('it must be yes or no')
}

/** Infinity: off. */
function parseWatchdog(text: string): number {
  if (text === 'off' || text === 'no') return Infinity
  const durationMs = parseDuration(text)
  if (durationMs >= 30_000) return durationMs
  throw fault('it must be at least 30s, or off')
}

function choice<const Word extends string>(words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const word = words.find((known) => known === text)
    if (word === undefined) throw fault(`it must be one of ${words.join(', ')}`)
    return word
  }
}

function list<T>(parse: (text: string) => T): (text: string) => readonly T[] {
  return (text) => text.split(',').filter(Boolean).map(parse)
}
