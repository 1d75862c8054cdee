// The policy file with its users and groups looked up. Throws ERR_SI_CONFIGURATION for names that nobody knows: a limit that silently
// holds for nobody is worse than none.
import { readFile } from 'node:fs/promises'
import { messageOf, SiError } from '../core/core.ts'
import { findAccount } from '../host/host.ts'
import type { Policy } from './policy-daemon.ts'
import { parsePolicy } from './policy-file.ts'
import type { AccountRule } from './policy-match.ts'

/** Throws ERR_SI_CONFIGURATION. */
export async function loadPolicy(file: string): Promise<Policy> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read ${file}: ${messageOf(cause)}`, {
      hint: 'Write one, with a line such as: group students 5MB/s joint',
      cause,
    })
  })
  const rules = parsePolicy(text, file)
  const accounts: AccountRule[] = []
  const faults: string[] = []
  for (const rule of rules) {
    const { kind, name, line } = rule
    if (kind === 'cgroup') continue
    const id = await findAccount(kind, name)
    if (id === undefined) faults.push(`line ${line}: there is no ${kind} ${name}`)
    else accounts.push({ ...rule, kind, id })
  }
  if (faults.length === 0) {
    return { accounts, cgroups: rules.filter(({ kind }) => kind === 'cgroup') }
  }
  throw new SiError('ERR_SI_CONFIGURATION', `Cannot use ${file}: ${faults.join('; ')}`, {
    hint: 'Look for them with getent passwd and getent group',
  })
}
