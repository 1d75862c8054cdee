// Who takes part in the gridfs bench: ours, sshfs with the same cipher, and the exported folder itself as
// the limit. Each mounts anew for every round, so that nothing is cached.
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { createGridSite } from '../lab/grid-site.ts'
import { startInLab } from '../lab/lab-program.ts'
import { waitFor, type Scope } from '../lab/scope.ts'
import { startSshd } from '../lab/sshd.ts'
import { readProcessAccount } from './process-account.ts'

export interface GridContestant {
  readonly name: 'si' | 'sshfs' | 'local'
  /** The export, as a folder of this machine. */
  mount(round: number): Promise<MountedFolder>
}

export interface MountedFolder {
  readonly folder: string
  /** Of all processes of both ends so far. */
  cpuSeconds(): Promise<number>
  unmount(): Promise<void>
}

const CIPHER = 'aes128-gcm@openssh.com'
const MOUNT_MS = 20_000

export async function gridContestants(scope: Scope, exported: string): Promise<GridContestant[]> {
  const site = await createGridSite(scope, { directory: exported })
  const sshd = await startSshd(scope, ['Subsystem sftp /usr/lib/openssh/sftp-server'])
  return [
    { name: 'local', mount: () => Promise.resolve(localFolder(exported)) },
    {
      name: 'sshfs',
      mount: async (round) => {
        const folder = join(scope.directory, `sshfs-${round}`)
        await mkdir(folder)
        scope.defer(folder, () => run('umount', ['-l', folder], { okExitCodes: [0, 32] }))
        const options = [...sshd.sshOptions, `Ciphers=${CIPHER}`, `port=${sshd.port}`]
        startInLab(scope, 'sshfs', {
          program: 'sshfs',
          args: [
            ...[`root@127.0.0.1:${exported}`, folder, '-f'],
            ...[...options, `IdentityFile=${sshd.identityFile}`].flatMap((one) => ['-o', one]),
          ],
        })
        await waitFor('the mount of sshfs', () => isMounted(folder), {
          ...{ deadlineMs: MOUNT_MS, signal: scope.signal },
        })
        return mounted(folder, /^(sshfs|ssh|sshd:?|\S*\/sftp-server)[\0 ]/)
      },
    },
    {
      name: 'si',
      mount: async (round) => mounted(await site.mount(`si-${round}`), /\0gridfs\0/),
    },
  ]
}

function localFolder(folder: string): MountedFolder {
  return { folder, cpuSeconds: () => Promise.resolve(0), unmount: () => Promise.resolve() }
}

function mounted(folder: string, programs: RegExp): MountedFolder {
  return {
    folder,
    cpuSeconds: () => cpuSecondsOf(programs),
    unmount: async () => void (await run('umount', [folder])),
  }
}

async function isMounted(folder: string): Promise<boolean> {
  return (await run('mountpoint', ['-q', folder], { okExitCodes: [0, 1, 32] })).exitCode === 0
}

/** Of the living processes below this one whose command line is meant. */
async function cpuSecondsOf(programs: RegExp): Promise<number> {
  const parents = new Map<number, number>()
  for (const entry of await readdir('/proc')) {
    const stat = /^\d+$/.test(entry) ? await readIfThere(`/proc/${entry}/stat`) : ''
    const parent = /^\d+ \(.*\) \S (\d+) /s.exec(stat)?.[1]
    if (parent !== undefined) parents.set(Number(entry), Number(parent))
  }
  const isOurs = (pid: number): boolean => {
    const parent = parents.get(pid)
    return parent !== undefined && (parent === process.pid || isOurs(parent))
  }
  let sum = 0
  for (const pid of [...parents.keys()].filter(isOurs)) {
    if (!programs.test(await readIfThere(`/proc/${pid}/cmdline`))) continue
    sum += (await readProcessAccount(pid)).cpuSeconds
  }
  return sum
}

/** Empty when the process has gone. */
function readIfThere(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
