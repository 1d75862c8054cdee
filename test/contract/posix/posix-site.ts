// What a case of the POSIX contract is given, and what it expects with.
import assert from 'node:assert/strict'
import { CallFailed, type PosixAgent, type Value } from './posix-agent.ts'

export interface PosixSite {
  readonly agent: PosixAgent
  /** A second process. */
  readonly other: PosixAgent
  /** An empty folder of the file system, mode 0777. */
  readonly folder: string
  /** A path in it. */
  at(name: string): string
  /** Makes a file in it with this content, of mode 0644; its path. */
  file(name: string, content?: string): Promise<string>
  /** Makes a folder in it, mode 0755; its path. */
  directory(name: string): Promise<string>
}

export type PosixCase = readonly [title: string, run: (site: PosixSite) => Promise<void>]

/** That a call fails so. */
export async function fails(errno: string | readonly string[], call: Promise<unknown>) {
  const expected = typeof errno === 'string' ? [errno] : errno
  try {
    await call
  } catch (error) {
    if (error instanceof CallFailed && expected.includes(error.code)) return
    throw error
  }
  assert.fail(`succeeded, and should fail with ${expected.join(' or ')}`)
}

export async function equal(call: Promise<Value>, expected: unknown): Promise<void> {
  assert.deepEqual(await call, expected)
}

/** Linux's numbers on every architecture of Node 24. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  PATH: 0o10000000,
  TMPFILE: 0o20200000,
} as const
