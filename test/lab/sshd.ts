// A real sshd on loopback, with keys made for the run.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run, start } from '../../src/host/host.ts'
import { freePort } from './foreign/client-program.ts'
import { type Scope, waitFor } from './scope.ts'

export interface Sshd {
  readonly pid: number
  readonly port: number
  /** The private key that root's account accepts. */
  readonly identityFile: string
  /** Values for `ssh -o`, with the right host key. */
  readonly sshOptions: readonly string[]
}

const DEADLINE_MS = 10_000

/** `lines` are added to its configuration. It ends with the scope. */
export async function startSshd(scope: Scope, lines: readonly string[]): Promise<Sshd> {
  const key = (name: string) => join(scope.directory, name)
  for (const name of ['host_key', 'user_key']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key(name)])
  }
  const port = await freePort()
  const config = join(scope.directory, 'sshd_config')
  const all = [
    ...[`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${key('host_key')}`, 'PidFile none'],
    ...[`AuthorizedKeysFile ${key('user_key.pub')}`, 'StrictModes no', 'UsePAM no'],
    ...['PermitRootLogin prohibit-password', 'PasswordAuthentication no', ...lines],
  ]
  await writeFile(config, `${all.join('\n')}\n`)
  await mkdir('/run/sshd', { recursive: true }) // sshd's privilege separation needs it
  const sshd = start('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: 'pipe' })
  scope.defer('the ssh server', async () => {
    sshd.process.kill('SIGTERM')
    await sshd.exited
  })
  const hostKey = await readFile(`${key('host_key')}.pub`, 'utf8')
  await writeFile(key('known_hosts'), `[127.0.0.1]:${port} ${hostKey}`)
  const known = [`UserKnownHostsFile=${key('known_hosts')}`, 'GlobalKnownHostsFile=none']
  const server: Sshd = {
    ...{ pid: sshd.process.pid ?? 0, port, identityFile: key('user_key') },
    sshOptions: [...known, 'StrictHostKeyChecking=yes', 'IdentitiesOnly=yes', 'BatchMode=yes'],
  }
  await waitFor('an answer of sshd', () => answers(server), { deadlineMs: DEADLINE_MS })
  return server
}

async function answers({ port, identityFile, sshOptions }: Sshd): Promise<boolean> {
  const options = sshOptions.flatMap((option) => ['-o', option])
  const where = ['-p', String(port), '-i', identityFile, 'root@127.0.0.1']
  const command = [...options, ...where, 'uname']
  return (await run('ssh', command, { okExitCodes: [0, 255] })).exitCode === 0
}
