// Exit statuses. The table is complete by type: a new error code does not compile without one.
import { SiError, type ErrorCode } from '../core/core.ts'

const ALL = [0, 1, 2, 3, 10, 11, 12, 13, 14, 32, 126, 127, 130] as const

export type ExitCode = (typeof ALL)[number]

/** Whether a program of ours may have ended with it. */
export function isExitCode(status: number): status is ExitCode {
  return ALL.some((code) => code === status)
}

/** The work was done, but something was left out; the messages say what. */
export const EXIT_PARTIAL: ExitCode = 3

/** Data is not what it should be. */
export const EXIT_INTEGRITY: ExitCode = 12

/** Nobody who is believed vouches for it. */
export const EXIT_UNTRUSTED: ExitCode = 13

/** Of a command that was to be run: as a shell has them. */
export const EXIT_NOT_RUNNABLE: ExitCode = 126
export const EXIT_NOT_FOUND: ExitCode = 127

const EXIT_CODES: Readonly<Record<ErrorCode, ExitCode>> = {
  ERR_SI_USAGE: 2,
  ERR_SI_INTERNAL: 1,
  ERR_SI_CONFIGURATION: 2,
  ERR_SI_NODE_UNKNOWN: 10,
  ERR_SI_REQUEST: 2,
  ERR_SI_FORBIDDEN: 13,
  ERR_SI_BUSY: 1,
  ERR_SI_ABORTED: 130,
  ERR_SI_PROGRAM_MISSING: 1,
  ERR_SI_PROGRAM_FAILED: 1,
  ERR_SI_SYSTEM_CALL: 1,
  ERR_SI_THROTTLE: 1,
  ERR_SI_GOLDEN_CLIENT: 1,
  ERR_SI_CAPTURE: 1,
  ERR_SI_TAR_FORMAT: 1,
  ERR_SI_IMAGE_NAME: 2,
  ERR_SI_IMAGE_NOT_FOUND: 10,
  ERR_SI_IMAGE_EXISTS: 1,
  ERR_SI_IMAGE_LOCKED: 11,
  ERR_SI_IMAGE_FORMAT: 12,
  ERR_SI_MANIFEST_FORMAT: 12,
  ERR_SI_UNSAFE_PATH: 12,
  ERR_SI_INTEGRITY: 12,
  ERR_SI_BENCODE: 12,
  ERR_SI_TORRENT_FORMAT: 12,
  ERR_SI_TORRENT_UNAVAILABLE: 1,
  ERR_SI_AUTHORITY: 1,
  ERR_SI_AUTHORITY_LOCKED: 11,
  ERR_SI_CERTIFICATE: 1,
  ERR_SI_KEY_EXPOSED: 1,
  ERR_SI_UNTRUSTED: 13,
  ERR_SI_PROTOCOL: 1,
  ERR_SI_SWARM: 1,
  ERR_SI_TRACKER: 1,
  ERR_SI_LISTEN: 1,
  ERR_SI_TARGET_UNSUITABLE: 14,
  ERR_SI_TARGET_FULL: 14,
  ERR_SI_TARGET_BUSY: 14,
  ERR_SI_NOT_CONFIRMED: 2,
  ERR_SI_DEPLOY: 1,
  ERR_SI_SCRIPT: 1,
}

/** The exit status an error ends the process with; 1 for what is not a SiError. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof SiError ? EXIT_CODES[error.code] : 1
}

/** The exit statuses a command can end with, as its help shows them. */
export function exitCodeHelp(codes: readonly ExitCode[]): string {
  const words: Readonly<Record<ExitCode, string>> = {
    0: 'done',
    1: 'failed',
    2: 'wrong use of the command',
    3: 'done, but something was left out (see the messages)',
    10: 'image or host not found',
    11: 'locked by another writer',
    12: 'the data is not what it should be',
    13: 'not trusted',
    14: 'the target is not suitable',
    32: 'not mounted, as mount(8) has it',
    126: 'the command cannot be run',
    127: 'the command is not there',
    130: 'interrupted',
  }
  return [
    '',
    'Exit status:',
    ...codes.map((code) => `  ${String(code).padEnd(5)}${words[code]}`),
  ].join('\n')
}
