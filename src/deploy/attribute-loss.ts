// Which kinds of attributes a target's file system could not keep: flags in shared memory that any
// worker raises and the report reads.

const KINDS = ['system.posix_acl_', 'security.', 'trusted.', 'user.', ''] as const

export function createLossFlags(): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(KINDS.length))
}

export function flagLoss(flags: Uint8Array, attribute: string): void {
  flags[KINDS.findIndex((kind) => attribute.startsWith(kind))] = 1
}

/** A remark for people per kind that was lost. */
export function describeLosses(flags: Uint8Array): readonly string[] {
  return KINDS.filter((_, index) => flags[index] === 1).map(
    (kind) =>
      `the target's file system cannot keep attributes ${kind === '' ? 'of some' : `${kind}*`}`,
  )
}
