// Into a machine of the lab over ssh, as root, from another host of its network. The run makes the key, and knows the
// host key beforehand or learns it at the first word; nothing is asked.
import { appendFile, copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { type NetworkHost, onHost } from './network.ts'
import { type Machine } from './qemu-machine.ts'
import { type Scope, waitFor } from './scope.ts'

export interface SshAccess {
  /** The private key that the root account accepts. */
  readonly identityFile: string
  /** Values for `ssh -o` that make ssh know the machine and ask nothing. */
  readonly sshOptions: readonly string[]
}

/** Host keys for the system in `tree`, and a key of the run that its root account accepts. */
export async function giveAccess(
  scope: Scope,
  host: NetworkHost,
  tree: string,
): Promise<SshAccess> {
  const { signal } = scope
  await run('ssh-keygen', ['-A', '-f', tree], { signal })
  const identityFile = join(scope.directory, `${host.name}-identity`)
  const keyOptions = ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', identityFile]
  await run('ssh-keygen', keyOptions, { signal })
  await mkdir(join(tree, 'root/.ssh'), { recursive: true, mode: 0o700 })
  await copyFile(`${identityFile}.pub`, join(tree, 'root/.ssh/authorized_keys'))
  const hostKey = await readFile(join(tree, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8')
  const knownHosts = join(scope.directory, `${host.name}-known-hosts`)
  await appendFile(knownHosts, `${host.name} ${hostKey}`)
  const known = [`UserKnownHostsFile=${knownHosts}`, 'GlobalKnownHostsFile=none']
  return {
    identityFile,
    sshOptions: [...known, 'StrictHostKeyChecking=accept-new', 'BatchMode=yes'],
  }
}

export interface SshTarget {
  readonly from: NetworkHost
  readonly host: NetworkHost
  readonly access: SshAccess
}

/** Runs a command on the machine; its standard output. */
export async function runOverSsh(
  scope: Scope,
  target: SshTarget,
  command: string,
): Promise<string> {
  const [program, args] = sshCommand(target, command)
  return (await run(program, args, { signal: scope.signal })).stdout
}

/** Waits until the ssh server of a machine that boots answers. */
export async function waitForSsh(
  scope: Scope,
  booting: { readonly machine: Machine; readonly target: SshTarget; readonly deadlineMs: number },
): Promise<void> {
  const { machine, target, deadlineMs } = booting
  const { name } = target.host
  await machine.console.waitFor(new RegExp(`${name} login:`), deadlineMs)
  const [program, args] = sshCommand(target, 'true')
  const options = { okExitCodes: [0, 255], signal: scope.signal }
  await waitFor(
    `an answer of the ssh server of ${name}`,
    async () => (await run(program, args, options)).exitCode === 0,
    { deadlineMs, signal: scope.signal },
  )
}

function sshCommand({ from, host, access }: SshTarget, command: string): [string, string[]] {
  const options = [...access.sshOptions, 'ConnectTimeout=10'].flatMap((option) => ['-o', option])
  return onHost(from, 'ssh', [...options, '-i', access.identityFile, `root@${host.name}`, command])
}
