// One message for each way in which ssh fails. The texts are those of OpenSSH 9.2.
import assert from 'node:assert/strict'
import test from 'node:test'
import { sshError } from '../../../src/capture/ssh-error.ts'

const CASES: readonly (readonly [string, RegExp, RegExp])[] = [
  [
    'ssh: Could not resolve hostname golden01: Name or service not known',
    /its name has no address/,
    /IP address/,
  ],
  ['ssh: connect to host golden01 port 22: Connection refused', /connection refused/, /Start sshd/],
  ['ssh: connect to host golden01 port 22: Connection timed out', /does not answer/, /switched on/],
  ['ssh: connect to host golden01 port 22: No route to host', /does not answer/, /switched on/],
  [
    'root@golden01: Permission denied (publickey,password).',
    /refuses the login/,
    /ssh-copy-id root@golden01/,
  ],
  [
    '@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.',
    /host key has changed/,
    /ssh-keygen -R golden01 /,
  ],
  [
    'No ED25519 host key is known for golden01\nHost key verification failed.',
    /host key is unknown/,
    /Run ssh root@golden01 once/,
  ],
  ['Connection to golden01 closed by remote host.', /connection was lost/, /sshd/],
  ['Timeout, server golden01 not responding.', /connection was lost/, /sshd/],
]

for (const [stderr, message, hint] of CASES) {
  test(`sshError() explains "${stderr.split('\n')[0]}"`, () => {
    const error = sshError('root@golden01', 255, `${stderr}\n`)
    assert.equal(error.code, 'ERR_SI_GOLDEN_CLIENT')
    assert.match(error.message, /^Cannot capture golden client "root@golden01": /)
    assert.match(error.message, message)
    assert.match(error.hint ?? '', hint)
  })
}

test('sshError() gives the last words of a failure it does not know', () => {
  assert.match(sshError('h', 255, 'Bad configuration option: x\n').message, /: Bad configuration/)
  assert.match(sshError('h', 137, '').message, /: ssh ended with status 137$/)
})

test('sshError() does not take what tar said about a file for the failure of ssh', () => {
  const stderr =
    'tar: ./x: Cannot open: Permission denied\nConnection to h closed by remote host.\n'
  assert.match(sshError('h', 255, stderr).message, /connection was lost/)
})
