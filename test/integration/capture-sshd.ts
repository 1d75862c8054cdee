// A golden client for capture tests: a real sshd on loopback whose sessions live in a small tree of
// their own (chroot), with copies of this machine's programs that a test may replace.
import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { type Scope } from '../lab/scope.ts'
import { startSshd } from '../lab/sshd.ts'

export interface SshGolden {
  readonly port: number
  /** The root of what sessions see. */
  readonly tree: string
  readonly identityFile: string
  /** Values for `ssh -o`, with the right host key. */
  readonly sshOptions: readonly string[]
  /** Puts a shell script in the place of a program; the original stays as `/bin/real/NAME`. */
  replaceProgram(name: string, script: string): Promise<void>
  /** The sshd processes that serve connections now. */
  sessions(): Promise<number[]>
}

const PROGRAMS = [
  'sh',
  'tar',
  'find',
  'cat',
  'uname',
  'id',
  'stat',
  'df',
  'ls',
  'sleep',
  'test',
  'touch',
  'rm',
  'ln',
  'mkdir',
]

export async function startSshGolden(scope: Scope): Promise<SshGolden> {
  const tree = join(scope.directory, 'tree')
  await makeTree(tree)
  const session = join(scope.directory, 'session')
  const enter = `exec chroot '${tree}' /bin/sh -c "$SSH_ORIGINAL_COMMAND"`
  await writeProgram(session, `#!/bin/sh\n${enter}\n`)
  const { pid, port, sshOptions, identityFile } = await startSshd(scope, [
    `ForceCommand ${session}`,
  ])
  return {
    ...{ port, tree, sshOptions, identityFile },
    replaceProgram: async (name, script) => {
      const path = join(tree, 'bin', name)
      await copyFile(path, join(tree, 'bin/real', name), constants.COPYFILE_EXCL).catch(() => {})
      await writeProgram(path, `#!/bin/sh\n${script}\n`)
    },
    sessions: () => childrenOf(pid),
  }
}

async function makeTree(tree: string): Promise<void> {
  for (const folder of ['bin/real', 'dev', 'etc', 'proc', 'tmp']) {
    await mkdir(join(tree, folder), { recursive: true })
  }
  for (const program of PROGRAMS) {
    const path = (
      await run('sh', ['-c', `command -v ${program === 'test' ? '/usr/bin/test' : program}`])
    ).stdout
    await copyFile(path.trim(), join(tree, 'bin', program))
    await copyLibraries(path.trim(), tree)
  }
  await writeFile(join(tree, 'etc/os-release'), 'PRETTY_NAME="Test Linux 1"\n')
  await writeFile(join(tree, 'etc/fstab'), '/dev/vda1 / ext4 defaults 0 1\n')
  await writeFile(join(tree, 'etc/machine-id'), 'secret\n')
  await run('mknod', ['-m', '666', join(tree, 'dev/null'), 'c', '1', '3'])
}

async function copyLibraries(program: string, tree: string): Promise<void> {
  const { stdout } = await run('ldd', [program])
  for (const [, path = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await copyFile(path, join(tree, path))
  }
}

async function writeProgram(path: string, script: string): Promise<void> {
  await rm(path, { force: true })
  await writeFile(path, script)
  await chmod(path, 0o755)
}

async function childrenOf(pid: number): Promise<number[]> {
  const children: number[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '')
    if (new RegExp(`^PPid:\\s+${pid}$`, 'm').test(status)) children.push(Number(entry))
  }
  return children
}
