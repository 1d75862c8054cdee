// What long operations tell about themselves. Producers call `update` as often as they like; drawing
// and its pace belong to the command line.

export interface ProgressUpdate {
  /** What is going on now, such as `capturing` or `writing`. */
  readonly phase: string
  readonly doneBytes: number
  /** Undefined while the total is unknown. */
  readonly totalBytes: number | undefined
  /** A short free remark, such as `4 peers`. */
  readonly detail?: string
}

export interface Progress {
  update(update: ProgressUpdate): void
  /** A line people should see, progress bar or not; a warning needs no action to go on. */
  note(message: string): void
}

export const silentProgress: Progress = { update() {}, note() {} }
