// A golden client for capture tests: a real sshd on loopback whose sessions live in a small tree of
// their own (chroot), with copies of this machine's programs that a test may replace.
import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { run, start } from '../../src/host/host.ts'
import type { Scope } from '../lab/scope.ts'
import { waitFor } from '../lab/scope.ts'

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
const DEADLINE_MS = 10_000

export async function startSshGolden(scope: Scope): Promise<SshGolden> {
  const tree = join(scope.directory, 'tree')
  await makeTree(tree)
  const key = (name: string) => join(scope.directory, name)
  for (const name of ['host_key', 'user_key']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key(name)])
  }
  const port = await freePort()
  const session = join(scope.directory, 'session')
  const enter = `exec chroot '${tree}' /bin/sh -c "$SSH_ORIGINAL_COMMAND"`
  await writeProgram(session, `#!/bin/sh\n${enter}\n`)
  const config = join(scope.directory, 'sshd_config')
  const lines = [
    ...[`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${key('host_key')}`, 'PidFile none'],
    ...[`AuthorizedKeysFile ${key('user_key.pub')}`, 'StrictModes no', 'UsePAM no'],
    ...['PermitRootLogin prohibit-password', 'PasswordAuthentication no'],
    `ForceCommand ${session}`,
  ]
  await writeFile(config, `${lines.join('\n')}\n`)
  await mkdir('/run/sshd', { recursive: true }) // sshd's privilege separation needs it
  const sshd = start('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: 'pipe' })
  scope.defer('the ssh server', async () => {
    sshd.process.kill('SIGTERM')
    await sshd.exited
  })
  const hostKey = await readFile(`${key('host_key')}.pub`, 'utf8')
  await writeFile(key('known_hosts'), `[127.0.0.1]:${port} ${hostKey}`)
  const known = [`UserKnownHostsFile=${key('known_hosts')}`, 'GlobalKnownHostsFile=none']
  const sshOptions = [...known, 'StrictHostKeyChecking=yes', 'IdentitiesOnly=yes']
  const golden: SshGolden = {
    ...{ port, tree, sshOptions, identityFile: key('user_key') },
    replaceProgram: async (name, script) => {
      const path = join(tree, 'bin', name)
      await copyFile(path, join(tree, 'bin/real', name), constants.COPYFILE_EXCL).catch(() => {})
      await writeProgram(path, `#!/bin/sh\n${script}\n`)
    },
    sessions: () => childrenOf(sshd.process.pid ?? 0),
  }
  await waitFor('an answer of sshd', () => answers(golden), { deadlineMs: DEADLINE_MS })
  return golden
}

/** A port of loopback that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
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

async function answers(golden: SshGolden): Promise<boolean> {
  const options = golden.sshOptions.flatMap((option) => ['-o', option])
  const where = ['-p', String(golden.port), '-i', golden.identityFile, 'root@127.0.0.1']
  const { exitCode } = await run('ssh', [...options, '-o', 'BatchMode=yes', ...where, 'uname'], {
    okExitCodes: [0, 255],
  })
  return exitCode === 0
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
