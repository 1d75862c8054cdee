// gridfs.yaml while a server runs: read again when the file has changed, or when somebody asks for it.
// Invariant: a file with a fault changes nothing, and is complained of once.
import { stat } from 'node:fs/promises'
import { messageOf } from '../../core/core.ts'
import { readRules } from './exports.ts'
import { type GridRules } from './server.ts'

export interface LiveRulesOptions {
  readonly file: string
  readonly onRules: (rules: GridRules) => void
  readonly onNote: (text: string) => void
}

export class LiveRules {
  readonly #options: LiveRulesOptions
  #version: string
  #looking: Promise<void> = Promise.resolve()

  private constructor(options: LiveRulesOptions, version: string) {
    this.#options = options
    this.#version = version
  }

  /** Of a file that was just read. */
  static async of(options: LiveRulesOptions): Promise<LiveRules> {
    return new LiveRules(options, await versionOf(options.file))
  }

  /** Reads the file if it has changed since it was read last; `isForced`: in any case. */
  look({ isForced }: { readonly isForced: boolean }): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look(isForced))
    return this.#looking
  }

  async #look(isForced: boolean): Promise<void> {
    const { file, onRules, onNote } = this.#options
    const version = await versionOf(file)
    if (version === this.#version && !isForced) return
    this.#version = version
    try {
      onRules(await readRules(file))
      onNote(`${file} was read anew`)
    } catch (error) {
      onNote(`${messageOf(error)}; what was read before stays in force`)
    }
  }
}

async function versionOf(file: string): Promise<string> {
  const info = await stat(file).catch(() => undefined) // whoever reads it says what is wrong
  return info === undefined ? '' : `${info.ino} ${info.size} ${info.mtimeMs} ${info.ctimeMs}`
}
