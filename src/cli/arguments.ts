// Values of options: parsers that commander can call, and options that several commands share.
import { availableParallelism } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { parseDuration, parseRackName, parseRate, parseSize, SiError } from '../core/core.ts'

/** Turns a parser that throws SiError into one whose failure commander reports with the option's name. */
export function argument<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof SiError)) throw error
      throw new InvalidArgumentError(`${error.message}. ${error.hint ?? ''}`.trim())
    }
  }
}

export function parseInteger(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value
    throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`)
  }
}

/** For --tracker and --web-seed, which may be given several times. */
export function collectUrl(value: string, previous: readonly string[]): readonly string[] {
  if (/^https?:$/.test(URL.parse(value)?.protocol ?? '')) return [...previous, value]
  throw new InvalidArgumentError('It must be an http URL, such as http://server:8080/announce.')
}

/** For options that may be given several times. */
export function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value]
}

export const repositoryOption = () =>
  new Option('-r, --repository <dir>', 'where images are kept')
    .env('SI_REPOSITORY')
    .default('/var/lib/swarmimager')

export const jsonOption = () => new Option('--json', 'JSON lines on standard output')

/** One thread per core up to `most`: beyond, threads cost memory and gain nothing. */
export const threadsOption = (most: number) =>
  new Option('--threads <n>', 'worker threads')
    .env('SI_THREADS')
    .argParser(parseInteger(1, 256))
    .default(Math.min(most, availableParallelism()), `one per core, at most ${most}`)

/**
 * Threads that own sockets, the one that decides among them. One carries more than 10 Gbit/s and the rest of the machine has other work, so
 * there is another for every four cores only.
 */
export const lanesOption = (most: number) =>
  new Option('--lanes <n>', 'network threads')
    .env('SI_LANES')
    .argParser(parseInteger(1, 32))
    .default(
      Math.max(1, Math.min(most, Math.floor(availableParallelism() / 4))),
      `one for every four cores, at most ${most}`,
    )

/** Of a program that does nothing but seed: enough for the fastest links of a single machine. */
export const MOST_SEEDING_LANES = 8

export const portOption = (flag: string, description: string, env: string, value: number) =>
  new Option(`${flag} <port>`, description)
    .env(env)
    .argParser(parseInteger(0, 65535))
    .default(value)

export const rackOption = () =>
  new Option(
    '--rack <name>',
    'where this machine stands: neighbours of the same rack are preferred',
  )
    .env('SI_RACK')
    .argParser(argument(parseRackName))

/** Its value is true unless the flag, or the variable with any value, is given. */
export const localDiscoveryOption = () =>
  new Option('--no-local-discovery', 'do not look for peers by multicast on the local network').env(
    'SI_NO_LOCAL_DISCOVERY',
  )

export const sizeOption = (flags: string, description: string, env: string) =>
  new Option(flags, description).env(env).argParser(argument(parseSize))

export const uploadLimitOption = () =>
  rateOption('--upload-limit <rate>', 'send pieces no faster than this', 'SI_UPLOAD_LIMIT')

export const downloadLimitOption = () =>
  rateOption('--download-limit <rate>', 'fetch pieces no faster than this', 'SI_DOWNLOAD_LIMIT')

const rateOption = (flags: string, description: string, env: string) =>
  new Option(flags, `${description}, such as 20MiB/s`)
    .env(env)
    .argParser(argument(parseLimit))
    .default(undefined, 'unlimited')

/** undefined: unlimited. */
function parseLimit(text: string): number | undefined {
  const bytesPerSecond = parseRate(text)
  if (bytesPerSecond !== 0) return bytesPerSecond
  throw new SiError('ERR_SI_USAGE', 'A limit of 0 would let nothing pass', {
    hint: 'Write a rate such as 20MiB/s, or the word unlimited',
  })
}

export const durationOption = (flags: string, description: string, env: string) =>
  new Option(flags, description).env(env).argParser(argument(parseDuration))
