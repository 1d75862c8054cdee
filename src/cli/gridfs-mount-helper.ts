// mount.gridfs: what mount(8) calls for the type gridfs, by hand, from fstab or a unit of systemd. Starts
// si-gridfs mount in a session of its own and returns once it is mounted; what it says then goes to a file.
import { mkdir, open, readFile, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Option, type Command } from 'commander'
import { isSiError, messageOf, SiError } from '../core/core.ts'
import { createCommand, type Outcome } from './command.ts'
import type { Io } from './io.ts'
import { parseMountOptions, withPort } from './mount-options.ts'

interface HelperFlags {
  readonly options: string
  readonly sloppy?: true
  readonly fake?: true
  readonly verbose?: true
}

export const MOUNT_HELPER = 'mount-helper'

/** As mount(8) has them. */
const EXIT_USAGE = 1
const EXIT_MOUNT_FAILED = 32

const LAUNCHER = join(import.meta.dirname, '../../src/cli/si')
const LOG_FOLDER = '/var/log/swarmimager'
/** The mount itself gives up before. */
const MOUNTED_WITHIN_MS = 60_000
const LOOK_MS = 50

/** Hidden: its name is mount.gridfs. */
export function createMountHelper(io: Io, outcome: Outcome): Command {
  return createCommand({
    name: MOUNT_HELPER,
    summary: 'Mount an export, as mount -t gridfs and fstab do',
    examples: [
      'ln -s "$(command -v mount.gridfs)" /sbin/mount.gridfs                  once',
      'mount -t gridfs server:/images /mnt/images -o ro,soft=30',
      'server:/images  /mnt/images  gridfs  _netdev,soft=30  0 0              in /etc/fstab',
    ],
    exitCodes: [0, 1, 32],
  })
    .argument('<source>', 'SERVER:/EXPORT')
    .argument('<directory>', 'an empty folder')
    .option(
      '-o, --options <list>',
      'ro, port=, soft=, cache=, pki=, cert=, key=, ca=, crl=, log=',
      '',
    )
    .option('-s, --sloppy', 'ignore options that nobody knows')
    .option('-f, --fake', 'only look at the options')
    .option('-v, --verbose', 'say what is done')
    .addOption(new Option('-n', 'write no mtab: never done').hideHelp())
    .addOption(new Option('-t <type>').hideHelp())
    .addOption(new Option('-N <namespace>').hideHelp())
    .action(async (source: string, directory: string, flags: HelperFlags) => {
      try {
        await mountInBackground({ source, directory: resolve(directory), flags }, io)
      } catch (error) {
        if (!isSiError(error)) throw error
        const hint = error.hint === undefined ? '' : `\nmount.gridfs: hint: ${error.hint}`
        io.stderr.write(`mount.gridfs: ${error.message}${hint}\n`)
        outcome.exitCode = isSiError(error, 'ERR_SI_USAGE') ? EXIT_USAGE : EXIT_MOUNT_FAILED
      }
    })
}

interface HelperOrder {
  readonly source: string
  readonly directory: string
  readonly flags: HelperFlags
}

async function mountInBackground(order: HelperOrder, io: Io): Promise<void> {
  const { directory, flags } = order
  const { start } = await import('../host/host.ts')
  const wanted = parseMountOptions(flags.options, { ignoresUnknown: flags.sloppy === true })
  const source = withPort(order.source, wanted.port)
  const args = ['gridfs', 'mount', source, directory, '--json', ...wanted.flags]
  if (flags.verbose === true) io.stderr.write(`mount.gridfs: si ${args.join(' ')}\n`)
  if (flags.fake === true) return
  const logFile = wanted.logFile ?? join(LOG_FOLDER, `gridfs${directory.replaceAll('/', '-')}.log`)
  const log = await openLog(logFile)
  const before = await countMounts(directory)
  try {
    const from = (await log.stat()).size
    const stdio = ['ignore', log.fd, log.fd] as const
    const child = start(LAUNCHER, args, { stdio: [...stdio], isDetached: true, cwd: '/' })
    const ended = new AbortController()
    void child.exited.finally(() => ended.abort()).catch(() => {})
    const onInterrupt = () => child.process.kill('SIGTERM')
    io.signal.addEventListener('abort', onInterrupt, { once: true })
    if (!(await isMounted(directory, before, ended.signal))) {
      child.process.kill('SIGTERM')
      throw await failure({ source, directory, logFile, from })
    }
    io.signal.removeEventListener('abort', onInterrupt)
    child.process.unref()
  } finally {
    await log.close()
  }
}

async function openLog(file: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o755 })
    return await open(file, 'a', 0o600)
  } catch (cause) {
    throw new SiError('ERR_SI_SYSTEM_CALL', `Cannot write the log: ${messageOf(cause)}`, {
      hint: 'Name another file with -o log=FILE',
      cause,
    })
  }
}

async function countMounts(directory: string): Promise<number> {
  const { readMounts } = await import('../host/host.ts')
  const isIt = ({ mountPoint, type }: { readonly mountPoint: string; readonly type: string }) =>
    mountPoint === directory && type === 'fuse.gridfs'
  return (await readMounts()).filter(isIt).length
}

/** Settles with true when one more is mounted there, false when the program has ended before. */
async function isMounted(directory: string, before: number, ended: AbortSignal): Promise<boolean> {
  const endMs = performance.now() + MOUNTED_WITHIN_MS
  while (performance.now() < endMs) {
    if ((await countMounts(directory)) > before) return true
    if (ended.aborted) return false
    await delay(LOOK_MS, undefined, { signal: ended }).catch(() => {})
  }
  return false
}

/** In the words of the program that failed. */
async function failure(where: {
  readonly source: string
  readonly directory: string
  readonly logFile: string
  /** Where its words begin. */
  readonly from: number
}): Promise<SiError> {
  const { source, directory, logFile, from } = where
  const said = (await readFile(logFile)).subarray(from).toString('utf8').split('\n')
  const word = (name: string) =>
    said.findLast((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
  const why = word('error') ?? `it took longer than ${MOUNTED_WITHIN_MS / 1000} s`
  return new SiError('ERR_SI_SYSTEM_CALL', `Cannot mount ${source} at ${directory}: ${why}`, {
    hint: word('hint') ?? `Look into ${logFile}`,
  })
}
