// What a node tells of its installation. Invariant: everything is bounded, for whoever can reach the server can
// send it.
import * as z from 'zod'

/** The phase of the last report of an installation that succeeded; without `error`. */
export const DONE_PHASE = 'done'
/** The phase of one of an installation that stopped. */
export const FAILED_PHASE = 'failed'

/** Of what people read; longer reports are refused. */
export const MAX_MESSAGE_CHARACTERS = 2000
export const MAX_ERROR_CHARACTERS = 8000

export const reportSchema = z.strictObject({
  /** One word for programs: `writing`, `finishing`, `done` … */
  phase: z.string().min(1).max(64),
  /** Of the phase; null where there is no measure. */
  percent: z.number().min(0).max(100).nullable().default(null),
  /** One line for people. */
  message: z.string().max(MAX_MESSAGE_CHARACTERS).default(''),
  /** Why the installation stopped. */
  error: z.string().max(MAX_ERROR_CHARACTERS).optional(),
  /** Of the error, for programs: `ERR_SI_TARGET_FULL` … */
  code: z
    .string()
    .regex(/^ERR_SI_[A-Z_]{1,40}$/)
    .optional(),
  /** What to do about it. */
  hint: z.string().max(MAX_MESSAGE_CHARACTERS).optional(),
  /** Appended to the log. */
  log: z.string().max(65_536).optional(),
})

export type NodeReport = z.infer<typeof reportSchema>

/** The last report of a node, as the server keeps it. */
export const keptReportSchema = reportSchema.omit({ log: true }).extend({
  /** By the server's clock, ISO 8601. */
  receivedAt: z.string(),
})

export type KeptReport = z.infer<typeof keptReportSchema>

/** The installation ended well: the machine is to boot from its own disk. */
export function isDone(report: NodeReport): boolean {
  return report.phase === DONE_PHASE && report.error === undefined
}
