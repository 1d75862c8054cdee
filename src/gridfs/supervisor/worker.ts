// One process that serves a mount, as its supervisor sees it.
import { createInterface } from 'node:readline'
import { Duplex } from 'node:stream'
import { start, type StartedProgram } from '../../host/host.ts'
import { WORKER_FDS, type SupervisorLine, type WorkerLine } from './worker-channel.ts'

export interface WorkerCommand {
  readonly program: string
  readonly args: readonly string[]
}

/** What all processes of a mount hold. */
export interface MountDescriptors {
  readonly device: number
  readonly state: number
  readonly slots: number
  readonly guard: number
}

export class Worker {
  /** Settles with the exit status. */
  readonly exited: Promise<number>
  readonly #started: StartedProgram
  readonly #channel: Duplex | undefined
  readonly #said = new Set<string>()
  readonly #waiting = new Map<string, () => void>()

  constructor({ program, args }: WorkerCommand, fds: MountDescriptors) {
    const stdio: (number | 'ignore' | 'inherit' | 'pipe')[] = ['ignore', 'inherit', 'inherit']
    stdio[WORKER_FDS.device] = fds.device
    stdio[WORKER_FDS.state] = fds.state
    stdio[WORKER_FDS.slots] = fds.slots
    stdio[WORKER_FDS.guard] = fds.guard
    stdio[WORKER_FDS.channel] = 'pipe'
    // Ctrl-C in the terminal is ours to pass on.
    this.#started = start(program, args, { stdio, isDetached: true })
    const channel = this.#started.process.stdio[WORKER_FDS.channel]
    this.#channel = channel instanceof Duplex ? channel : undefined
    this.#channel?.on('error', () => {}) // its end is told by `exited`
    if (this.#channel !== undefined) {
      createInterface({ input: this.#channel }).on('line', (line) => this.#hear(line))
    }
    this.exited = this.#started.exited.then(({ exitCode }) => exitCode)
    this.exited.catch(() => {}) // whoever waits for it is told
  }

  get pid(): number {
    return this.#started.process.pid ?? -1
  }

  /** Whether it has begun to answer the kernel. */
  get isServing(): boolean {
    return this.#said.has('serving') || this.#said.has('serving-once')
  }

  get isReplaceable(): boolean {
    return !this.#said.has('serving-once')
  }

  /** Settles with true when it says so, with false when it ends before. */
  async says(line: WorkerLine): Promise<boolean> {
    if (this.#said.has(line)) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#waiting.set(line, () => resolve(true))
    const ended = () => resolve(false)
    this.exited.then(ended, ended)
    return promise
  }

  tell(line: SupervisorLine): void {
    this.#channel?.write(`${line}\n`)
  }

  /** Ends it at once: what it was doing is gone on with by another. */
  async kill(): Promise<void> {
    this.#started.process.kill('SIGKILL')
    await this.exited.catch(() => {})
  }

  #hear(line: string): void {
    this.#said.add(line)
    this.#waiting.get(line)?.()
  }
}
