// Keeps a mount alive: holds what the kernel and the mount's state hang on, and has another process serve it.
// When that one ends, or is to be replaced by the program that is installed now, the next goes on where it
// was, and programs on the mount have waited a moment. Invariant: one worker at a time answers the kernel.
import { closeSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf, SiError } from '../../core/core.ts'
import {
  detachMount,
  memfdCreate,
  openFuseDevice,
  signalName,
  startMountGuard,
} from '../../host/host.ts'
import { Worker, type MountDescriptors, type WorkerCommand } from './worker.ts'

export interface SuperviseOptions {
  readonly directory: string
  /** Starts a worker: see `runMountWorker`. */
  readonly command: WorkerCommand
  /** Unmounts. */
  readonly signal: AbortSignal
  /** Registers what is to be done when the worker shall be replaced. */
  readonly onReplace: (replace: () => void) => void
  readonly onNote: (text: string) => void
}

const MAXIMUM_EXIT_STATUS = 128
/** A worker that served for so long did not end because of how it began. */
const SOUND_MS = 1000
/** So many may end one after the other before the next is waited for. */
const SUDDEN_ENDS = 3
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
/** For loading a program and reading certificates. */
const PREPARE_MS = 30_000

/**
 * Settles with an exit status when the file system is unmounted, or its first worker could not mount it
 * and has said why. Throws ERR_SI_SYSTEM_CALL where the kernel has no FUSE, ERR_SI_USAGE without the folder.
 */
export async function superviseMount(options: SuperviseOptions): Promise<number> {
  await checkFolder(options.directory)
  const device = await openFuseDevice()
  const [state, slots] = [memfdCreate('gridfs-state'), memfdCreate('gridfs-slots')]
  const guard = startMountGuard(options.directory)
  try {
    const fds = { device: device.fd, state, slots, guard: guard.fd }
    return await new Supervisor(options, fds).run()
  } finally {
    guard.release()
    closeSync(state)
    closeSync(slots)
    await device.close()
  }
}

async function checkFolder(directory: string): Promise<void> {
  const info = await stat(directory).catch(() => undefined) // such as a mount that nobody serves
  if (info?.isDirectory() === true) return
  const message =
    info === undefined ? `There is no folder ${directory}` : `${directory} is no folder`
  throw new SiError('ERR_SI_USAGE', message, {
    hint: `Make it: mkdir ${directory}; or look what is mounted there already`,
  })
}

class Supervisor {
  readonly #options: SuperviseOptions
  readonly #fds: MountDescriptors
  #worker: Worker
  #startedMs = performance.now()
  #suddenEnds = 0
  #isReplacing = false
  #hasServed = false

  constructor(options: SuperviseOptions, fds: MountDescriptors) {
    this.#options = options
    this.#fds = fds
    this.#worker = this.#start()
    this.#worker.tell('begin')
  }

  async run(): Promise<number> {
    const { signal, onReplace } = this.#options
    const leave = () => this.#worker.tell('leave')
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    onReplace(() => void this.#replace())
    try {
      for (;;) {
        const worker = this.#worker
        const exitStatus = await worker.exited
        if (worker !== this.#worker) continue // it was replaced
        if (exitStatus === 0 || !this.#wasServed(worker)) return exitStatus
        this.#options.onNote(`the process that serves the mount has ended: ${endOf(exitStatus)}`)
        if (!worker.isReplaceable || signal.aborted) {
          await detachMount(this.#options.directory)
          return 1
        }
        await this.#startAgain()
      }
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** Before anything was mounted the worker itself has said what is wrong. */
  #wasServed(worker: Worker): boolean {
    this.#hasServed ||= worker.isServing
    return this.#hasServed
  }

  async #startAgain(): Promise<void> {
    const wasSudden = performance.now() - this.#startedMs < SOUND_MS || !this.#worker.isServing
    this.#suddenEnds = wasSudden ? this.#suddenEnds + 1 : 0
    const over = this.#suddenEnds - SUDDEN_ENDS
    if (over > 0) {
      const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (over - 1))
      await delay(pauseMs, undefined, { signal: this.#options.signal }).catch(() => {})
    }
    this.#worker = this.#start()
    this.#worker.tell('begin')
    if (this.#options.signal.aborted) this.#worker.tell('leave')
  }

  /** The new one is ready to begin before the old one ends; a program that does not start changes nothing. */
  async #replace(): Promise<void> {
    const { onNote } = this.#options
    if (this.#isReplacing || !this.#worker.isServing) return
    if (!this.#worker.isReplaceable) {
      return onNote('this kernel lets nobody replace the process that serves the mount: 6.9 does')
    }
    this.#isReplacing = true
    try {
      const [old, next] = [this.#worker, this.#start()]
      const late = setTimeout(() => void next.kill(), PREPARE_MS)
      const isPrepared = await next.says('prepared')
      clearTimeout(late)
      if (!isPrepared || old !== this.#worker) {
        await next.kill()
        return onNote('the program that is installed now does not start: the old one goes on')
      }
      this.#worker = next
      await old.kill()
      next.tell('begin')
      onNote('another process serves the mount')
    } catch (error) {
      onNote(`the process that serves the mount was not replaced: ${messageOf(error)}`)
    } finally {
      this.#isReplacing = false
    }
  }

  #start(): Worker {
    this.#startedMs = performance.now()
    return new Worker(this.#options.command, this.#fds)
  }
}

function endOf(exitStatus: number): string {
  if (exitStatus <= MAXIMUM_EXIT_STATUS) return `status ${exitStatus}`
  return signalName(exitStatus - MAXIMUM_EXIT_STATUS)
}
