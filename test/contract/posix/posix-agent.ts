// A process that makes system calls for the contract, as any user: Node has threads and not all calls,
// so posix-agent.py makes them, one after the other. Every call is answered by its value or an errno.
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { start } from '../../../src/host/host.ts'
import { type Scope } from '../../lab/scope.ts'

export interface Credentials {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

export interface FileStatus {
  readonly type: 'file' | 'folder' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block'
  readonly mode: number
  readonly inode: number
  readonly links: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly blocks: number
  readonly device: readonly [number, number]
  /** Nanoseconds since 1970. */
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
}

export type Value = string | number | null | readonly string[] | Readonly<Record<string, unknown>>

/** A call that failed; `code` is the errno's name. */
export class CallFailed extends Error {
  readonly code: string

  constructor(call: string, code: string) {
    super(`${call}: ${code}`)
    this.name = 'CallFailed'
    this.code = code
  }
}

export const ROOT: Credentials = { uid: 0, gid: 0, groups: [] }

export class PosixAgent {
  readonly #send: (line: string) => void
  readonly #waiting: {
    readonly call: string
    readonly resolve: (value: Value) => void
    readonly reject: (error: unknown) => void
  }[] = []
  /** Who makes the calls that follow. */
  credentials: Credentials = ROOT
  umask = 0

  constructor(send: (line: string) => void) {
    this.#send = send
  }

  call(call: string, ...args: readonly unknown[]): Promise<Value> {
    const { uid, gid, groups } = this.credentials
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call: `${call}(${args.join(', ')})`, resolve, reject })
      this.#send(`${JSON.stringify({ call, args, uid, gid, groups, umask: this.umask })}\n`)
    })
  }

  /** The same, by somebody else. */
  async as<T>(who: Partial<Credentials>, act: () => Promise<T>): Promise<T> {
    const before = this.credentials
    this.credentials = { ...ROOT, ...who }
    try {
      return await act()
    } finally {
      this.credentials = before
    }
  }

  async number(call: string, ...args: readonly unknown[]): Promise<number> {
    return (await this.call(call, ...args)) as number
  }

  async status(path: string, call: 'stat' | 'lstat' = 'lstat'): Promise<FileStatus> {
    return toStatus(await this.call(call, path))
  }

  async fstat(fd: number): Promise<FileStatus> {
    return toStatus(await this.call('fstat', fd))
  }

  answer(line: string): void {
    const { call, resolve, reject } = this.#waiting.shift() ?? {}
    const answer = JSON.parse(line) as { value?: Value; errno?: string }
    if (answer.errno === undefined) resolve?.(answer.value ?? null)
    else reject?.(new CallFailed(call ?? '', answer.errno))
  }

  end(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

function toStatus(value: Value): FileStatus {
  const status = value as unknown as Record<'atime' | 'mtime' | 'ctime', string> & FileStatus
  return {
    ...status,
    atime: BigInt(status.atime),
    mtime: BigInt(status.mtime),
    ctime: BigInt(status.ctime),
  }
}

/** An agent that ends with the scope. Needs root and python3. */
export function startPosixAgent(scope: Scope): PosixAgent {
  const script = join(import.meta.dirname, 'posix-agent.py')
  const program = start('/usr/bin/python3', [script], { stdio: 'pipe', signal: scope.signal })
  const agent = new PosixAgent((line) => program.process.stdin?.write(line))
  scope.defer('the agent of the POSIX contract', async () => {
    program.process.kill('SIGKILL')
    await program.exited.catch(() => {})
  })
  program.process.stdin?.on('error', () => {}) // its end is told below
  const { stdout } = program.process
  if (stdout !== null) createInterface({ input: stdout }).on('line', (line) => agent.answer(line))
  const ended = ({ stderr }: { stderr: string }) =>
    agent.end(new Error(`The agent of the POSIX contract ended: ${stderr}`))
  program.exited.then(ended, (error: Error) => agent.end(error))
  return agent
}
