// What long-running parts say to the administrator; a pino logger fits as it is.

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export const silentLog: Log = { info() {}, warn() {} }
