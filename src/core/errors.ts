// The one error type of the project. A code names the fault for programs, the message names object
// and cause for people, the hint says in one imperative sentence what to do. Exit statuses belong to
// the command line (cli/exit-code.ts).

export type ErrorCode =
  | 'ERR_SI_USAGE'
  | 'ERR_SI_INTERNAL'
  | 'ERR_SI_CONFIGURATION'
  | 'ERR_SI_NODE_UNKNOWN'
  | 'ERR_SI_REQUEST'
  | 'ERR_SI_FORBIDDEN'
  | 'ERR_SI_BUSY'
  | 'ERR_SI_ABORTED'
  | 'ERR_SI_PROGRAM_MISSING'
  | 'ERR_SI_PROGRAM_FAILED'
  | 'ERR_SI_SYSTEM_CALL'
  | 'ERR_SI_THROTTLE'
  | 'ERR_SI_GOLDEN_CLIENT'
  | 'ERR_SI_CAPTURE'
  | 'ERR_SI_TAR_FORMAT'
  | 'ERR_SI_IMAGE_NAME'
  | 'ERR_SI_IMAGE_NOT_FOUND'
  | 'ERR_SI_IMAGE_EXISTS'
  | 'ERR_SI_IMAGE_LOCKED'
  | 'ERR_SI_IMAGE_FORMAT'
  | 'ERR_SI_MANIFEST_FORMAT'
  | 'ERR_SI_UNSAFE_PATH'
  | 'ERR_SI_INTEGRITY'
  | 'ERR_SI_BENCODE'
  | 'ERR_SI_TORRENT_FORMAT'
  | 'ERR_SI_TORRENT_UNAVAILABLE'
  | 'ERR_SI_AUTHORITY'
  | 'ERR_SI_AUTHORITY_LOCKED'
  | 'ERR_SI_CERTIFICATE'
  | 'ERR_SI_KEY_EXPOSED'
  | 'ERR_SI_UNTRUSTED'
  | 'ERR_SI_PROTOCOL'
  | 'ERR_SI_SWARM'
  | 'ERR_SI_TRACKER'
  | 'ERR_SI_LISTEN'
  | 'ERR_SI_TARGET_UNSUITABLE'
  | 'ERR_SI_TARGET_FULL'
  | 'ERR_SI_TARGET_BUSY'
  | 'ERR_SI_NOT_CONFIRMED'
  | 'ERR_SI_DEPLOY'
  | 'ERR_SI_SCRIPT'

/** What went wrong, in words for people and a code for programs. */
export class SiError extends Error {
  readonly code: ErrorCode
  /** What to do about it: one imperative sentence without a period. */
  readonly hint: string | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly hint?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'SiError'
    this.code = code
    this.hint = options.hint
  }
}

/** True for a SiError with this code; the only way errors are told apart. */
export function isSiError(error: unknown, code?: ErrorCode): error is SiError {
  return error instanceof SiError && (code === undefined || error.code === code)
}

/** The `code` of a Node system error (`ENOENT` …), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof SiError) return undefined
  const code = (error as NodeJS.ErrnoException).code
  return typeof code === 'string' ? code : undefined
}

/** The error's own words, for use after a colon in another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Throws ERR_SI_ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal)
}

/** The error that an aborted operation ends with; the signal's own SiError when it carries one. */
export function abortedError(signal: AbortSignal): SiError {
  if (signal.reason instanceof SiError) return signal.reason
  return new SiError('ERR_SI_ABORTED', 'Interrupted', { cause: signal.reason })
}
