// The POSIX contract: what every file system here must do as the kernel's own do. Each part is a list of
// cases; a case gets an empty folder that everybody may use, and an agent that makes the calls.
import { mkdir, rm, chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withScope, type Scope } from '../../lab/scope.ts'
import { attributeCases } from './attribute-cases.ts'
import { dataCases } from './data-cases.ts'
import { lockCases } from './lock-cases.ts'
import { nameCases } from './name-cases.ts'
import { permissionCases } from './permission-cases.ts'
import { startPosixAgent, type PosixAgent } from './posix-agent.ts'
import { O, type PosixCase } from './posix-site.ts'
import { renameCases } from './rename-cases.ts'
import { timeCases } from './time-cases.ts'

const PARTS: Readonly<Record<string, readonly PosixCase[]>> = {
  names: nameCases,
  renaming: renameCases,
  permissions: permissionCases,
  times: timeCases,
  data: dataCases,
  'extended attributes': attributeCases,
  locks: lockCases,
}

export interface PosixSubject {
  readonly name: string
  /** Mounts it; the folder where it may be used, which goes with the scope. */
  readonly mount: (scope: Scope) => Promise<string>
  /** Titles of cases that it does not claim, each with the reason. */
  readonly exceptions?: Readonly<Record<string, string>>
}

/** Registers all cases for a file system. */
export function describePosix(subject: PosixSubject): void {
  test(`${subject.name} keeps the POSIX contract`, async (context) => {
    await withScope(async (scope) => {
      await chmod(scope.directory, 0o711) // the users of the contract go through it
      const root = await subject.mount(scope)
      const [agent, other] = [startPosixAgent(scope), startPosixAgent(scope)]
      for (const [part, cases] of Object.entries(PARTS)) {
        await context.test(part, async (inPart) => {
          for (const [title, run] of cases) {
            if (subject.exceptions?.[title] !== undefined) continue
            await inPart.test(title, () => runCase({ root, agent, other }, run))
          }
        })
      }
    })
  })
}

async function runCase(
  where: { readonly root: string; readonly agent: PosixAgent; readonly other: PosixAgent },
  run: PosixCase[1],
): Promise<void> {
  const { root, agent, other } = where
  const folder = join(root, 'case')
  await mkdir(folder)
  await chmod(folder, 0o777)
  const at = (name: string) => join(folder, name)
  const file = async (name: string, content = '') => {
    const fd = await agent.number('open', at(name), O.CREAT | O.WRONLY, 0o644)
    if (content !== '') await agent.call('write', fd, content)
    await agent.call('close', fd)
    return at(name)
  }
  const directory = async (name: string) => {
    await agent.call('mkdir', at(name), 0o755)
    return at(name)
  }
  try {
    await run({ agent, other, folder, at, file, directory })
  } finally {
    agent.umask = other.umask = 0
    await rm(folder, { recursive: true, force: true })
  }
}
