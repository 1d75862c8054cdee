// An administrator's script: text that some interpreter runs as root, before or after an installation. Its first line
// names the interpreter as for the kernel (execve(2)); we start that ourselves, as /run may be mounted `noexec`. Pure.
import { SiError } from '../../core/core.ts'

export interface Script {
  /** As the administrator knows it: a path, as a rule. */
  readonly name: string
  readonly text: string
}

export type Stage = 'pre-install' | 'post-install'

/** What a failing script leads to. */
export type ScriptFailureChoice = 'stop' | 'shell' | 'continue'

export interface ScriptOptions {
  /** Run on the installing machine, before disks are touched. */
  readonly preInstall: readonly Script[]
  /** Run in the finished system. */
  readonly postInstall: readonly Script[]
  readonly onFailure: ScriptFailureChoice
  /** For each script; Infinity: none. */
  readonly timeLimitMs: number
  /** Of the host, as cluster.yaml has them; without those that begin with `si.`. */
  readonly parameters: Readonly<Record<string, string>>
  /** Of the host, outer ones first. */
  readonly groups: readonly string[]
  /** URL of si-server; empty: none is known. */
  readonly server: string
}

/** A script that takes longer hangs, as a rule. */
export const SCRIPT_TIME_LIMIT_MS = 15 * 60_000

export const NO_SCRIPTS: ScriptOptions = {
  ...{ preInstall: [], postInstall: [], onFailure: 'stop', timeLimitMs: SCRIPT_TIME_LIMIT_MS },
  ...{ parameters: {}, groups: [], server: '' },
}

/** Program and, at most, one argument; the path of the script comes behind them. Throws ERR_SI_CONFIGURATION. */
export function parseInterpreter({ name, text }: Script): readonly string[] {
  const [first = ''] = text.split('\n', 1)
  if (text.includes('\0')) throw unusable(name, 'it is no text', 'Call the program from a script')
  if (first.endsWith('\r')) {
    throw unusable(name, 'its lines end as those of DOS', 'Convert it: dos2unix takes them off')
  }
  if (!first.startsWith('#!')) return ['/bin/sh']
  const [, program = '', argument] = /^#![ \t]*(\S*)[ \t]*(.*?)[ \t]*$/.exec(first) ?? []
  if (program.startsWith('/')) return argument ? [program, argument] : [program]
  const why = program === '' ? 'no interpreter' : `"${program}", which is no absolute path`
  throw unusable(name, `its first line names ${why}`, 'Begin it with #!/bin/sh, for example')
}

function unusable(name: string, why: string, hint: string): SiError {
  return new SiError('ERR_SI_CONFIGURATION', `Cannot run script ${name}: ${why}`, { hint })
}
