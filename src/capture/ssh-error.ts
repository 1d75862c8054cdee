// From ssh's last words to a message that says which of its many failures this was. ssh has one exit
// status for all of them, so its English texts (OpenSSH 7–10, LC_ALL=C) are matched. Pure.
import { SiError } from '../core/core.ts'

interface Failure {
  readonly pattern: RegExp
  readonly cause: string
  readonly hint: (host: string) => string
}

// The order matters: a changed host key also makes "Host key verification failed".
const FAILURES: readonly Failure[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    cause: 'its host key has changed',
    hint: (host) =>
      `Make sure that it is the right machine, then run ssh-keygen -R ${hostOf(host)} and ssh ${host}`,
  },
  {
    pattern: /Host key verification failed/,
    cause: 'its host key is unknown',
    hint: (host) => `Run ssh ${host} once and compare the key that it shows`,
  },
  {
    pattern: /Could not resolve hostname/,
    cause: 'its name has no address',
    hint: () => 'Check the name, or use an IP address',
  },
  {
    pattern: /Connection refused/,
    cause: 'connection refused',
    hint: () => 'Start sshd there, or name its port with -p',
  },
  {
    pattern: /No route to host|Network is unreachable|(?:Connection|Operation) timed out/,
    cause: 'it does not answer',
    hint: () => 'Check that it is switched on and that no firewall is in between',
  },
  {
    pattern: /Permission denied|Too many authentication failures|no mutual signature/i,
    cause: 'it refuses the login',
    hint: (host) => `Run ssh-copy-id ${host}, or name a private key with -i`,
  },
  {
    pattern:
      /server \S+ not responding|closed by remote host|Connection reset|Broken pipe|closed by .* port/,
    cause: 'the connection was lost',
    hint: () => 'Look at sshd on the golden client, then run the capture again',
  },
]

/** What ssh's failure was. `exitCode` is 255, or 128 + signal when ssh itself was killed. */
export function sshError(host: string, exitCode: number, stderr: string): SiError {
  // What tar said before the connection broke is about files.
  const lines = stderr.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('tar: '))
  const failure = FAILURES.find(({ pattern }) => pattern.test(lines.join('\n')))
  const words = lines.at(-1)?.trim() ?? ''
  const other = words === '' ? `ssh ended with status ${exitCode}` : words
  return new SiError(
    'ERR_SI_GOLDEN_CLIENT',
    `Cannot capture golden client "${host}": ${failure?.cause ?? other}`,
    { hint: failure?.hint(host), cause: { exitCode, stderr } },
  )
}

function hostOf(host: string): string {
  return host.slice(host.lastIndexOf('@') + 1)
}
