import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { chmod, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isSiError, systemClock, type Clock } from '../../../src/core/core.ts'
import { flock } from '../../../src/host/host.ts'
import { createAuthority, openAuthority, type IssueRequest } from '../../../src/pki/authority.ts'
import { parseCertificates } from '../../../src/pki/certificate.ts'
import { parseCrls } from '../../../src/pki/crl.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const NOW = new Date('2026-03-01T12:00:00Z')
const clock: Clock = { ...systemClock, now: () => NOW }
const crl = { days: 7, passphraseFile: undefined }

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'si-pki-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

async function makeAuthority(t: TestContext, passphraseFile?: string, days = 3650) {
  const directory = join(await makeFolder(t), 'ca')
  const origin = { type: 'new', name: 'Test CA', keyType: 'p256' } as const
  const authority = await createAuthority({ directory, days, passphraseFile, origin, clock })
  return authority
}

function request(changes: Partial<IssueRequest> = {}): IssueRequest {
  return {
    identity: { role: 'node', name: 'node01' },
    ...{ dnsNames: [], addresses: [], days: undefined, passphraseFile: undefined },
    key: { type: 'p256' },
    ...changes,
  }
}

const rejectsWith = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(isSiError(error), String(error))
  assert.equal(error.code, code)
  assert.match(error.message, pattern)
  return true
}

test('createAuthority() makes a closed folder, a closed key and a first CRL', async (t) => {
  const { directory } = await makeAuthority(t)
  const modeOf = async (name: string) => (await stat(join(directory, name))).mode & 0o777
  assert.equal(await modeOf('.'), 0o700)
  assert.equal(await modeOf('ca.key'), 0o600)
  assert.equal(parseCrls(await readFile(join(directory, 'crl.pem')), 'crl').length, 1)
})

test('createAuthority() encrypts the key with the first line of the passphrase file', async (t) => {
  const file = join(await makeFolder(t), 'passphrase')
  await writeFile(file, 'a phrase\nnot this\n', { mode: 0o600 })
  const { directory } = await makeAuthority(t, file)
  const pem = await readFile(join(directory, 'ca.key'), 'utf8')
  assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
  assert.equal(createPrivateKey({ key: pem, passphrase: 'a phrase' }).asymmetricKeyType, 'ec')
})

test('issue() without the passphrase, and with a wrong one, says which it is', async (t) => {
  const folder = await makeFolder(t)
  for (const word of ['right', 'wrong']) await writeFile(join(folder, word), word, { mode: 0o600 })
  const authority = await makeAuthority(t, join(folder, 'right'))
  await assert.rejects(
    authority.issue(request()),
    rejectsWith('ERR_SI_CERTIFICATE', /ca\.key: it is encrypted/),
  )
  await assert.rejects(
    authority.issue(request({ passphraseFile: join(folder, 'wrong') })),
    rejectsWith('ERR_SI_CERTIFICATE', /the passphrase does not open it/),
  )
})

test('createAuthority() never overwrites an authority', async (t) => {
  const { directory } = await makeAuthority(t)
  const before = await readFile(join(directory, 'ca.key'))
  const origin = { type: 'new', name: 'Other', keyType: 'p256' } as const
  await assert.rejects(
    createAuthority({ directory, days: 1, passphraseFile: undefined, origin }),
    rejectsWith('ERR_SI_AUTHORITY', /it exists/),
  )
  assert.deepEqual(await readFile(join(directory, 'ca.key')), before)
  assert.deepEqual(await readdir(join(directory, '..')), ['ca'])
})

for (const mode of [0o640, 0o604, 0o666]) {
  test(`issue() refuses a CA key of mode ${mode.toString(8)}`, async (t) => {
    const authority = await makeAuthority(t)
    await chmod(join(authority.directory, 'ca.key'), mode)
    await assert.rejects(
      authority.issue(request()),
      rejectsWith('ERR_SI_KEY_EXPOSED', new RegExp(`its mode ${mode.toString(8)} lets others`)),
    )
    assert.deepEqual(await authority.list(), [])
  })
}

test('issue() names role and name in the certificate and in the index', async (t) => {
  const authority = await makeAuthority(t)
  const identity = { role: 'signer', name: 'golden' } as const
  const issued = await authority.issue(request({ identity }))
  const [leaf] = parseCertificates(Buffer.from(issued.certificatePem), 'leaf')
  assert.deepEqual(leaf?.identities, [identity])
  assert.equal(leaf.isSignedBy(authority.certificate), true)
  assert.equal(leaf.authorityKeyId, authority.certificate.subjectKeyId)
  assert.equal(leaf.notAfter.getTime(), NOW.getTime() + 365 * DAY_MS)
  assert.deepEqual(await authority.list(), [issued.record])
})

test('issue() makes no certificate that outlives its authority', async (t) => {
  const authority = await makeAuthority(t, undefined, 30)
  const { record } = await authority.issue(request())
  assert.equal(record.notAfter, authority.certificate.notAfter.toISOString())
})

test('issue() refuses while another process changes the store', async (t) => {
  const authority = await makeAuthority(t)
  await using lock = await open(join(authority.directory, '.lock'), 'a+')
  assert.ok(flock(lock.fd, 'exclusive'))
  await assert.rejects(
    authority.issue(request()),
    rejectsWith('ERR_SI_AUTHORITY_LOCKED', /another process does/),
  )
})

test('issue() removes what a writer that died left half written', async (t) => {
  const authority = await makeAuthority(t)
  await writeFile(join(authority.directory, '.index.json.0123abcd'), '{"format":')
  await authority.issue(request())
  const names = (await readdir(authority.directory)).filter((name) => name.startsWith('.'))
  assert.deepEqual(names, ['.lock'])
})

test('issue() refuses a file that holds no certificate request', async (t) => {
  const authority = await makeAuthority(t)
  const { record } = await authority.issue(request())
  const path = join(authority.directory, 'issued', `${record.serial}.pem`)
  const key = { request: await readFile(path) } // a certificate is no request
  await assert.rejects(
    authority.issue(request({ key })),
    rejectsWith('ERR_SI_CERTIFICATE', /it holds no certificate request/),
  )
})

test('a damaged index is named, and nothing is issued over it', async (t) => {
  const authority = await makeAuthority(t)
  await writeFile(join(authority.directory, 'index.json'), '{}')
  await assert.rejects(authority.issue(request()), rejectsWith('ERR_SI_AUTHORITY', /index\.json: /))
})

test('revoke() takes a serial number or all of ROLE/NAME, and publishes a CRL', async (t) => {
  const authority = await makeAuthority(t)
  const first = await authority.issue(request())
  const second = await authority.issue(request())
  const third = await authority.issue(request({ identity: { role: 'node', name: 'node02' } }))
  const reason = 'keyCompromise'
  const revoked = async () => {
    const [list] = parseCrls(await readFile(join(authority.directory, 'crl.pem')), 'crl')
    return [...(list?.revoked.keys() ?? [])]
  }
  const colons = first.record.serial.match(/../g)?.join(':').toLowerCase() ?? ''
  await authority.revoke(colons, { ...crl, reason })
  assert.deepEqual(await revoked(), [first.record.serial])
  await authority.revoke('node/node01', { ...crl, reason })
  assert.deepEqual(await revoked(), [first.record.serial, second.record.serial])
  assert.equal((await authority.list()).at(-1)?.revokedAt, null)
  assert.equal((await authority.list()).at(-1)?.serial, third.record.serial)
})

test('revoke() of what was never issued changes nothing', async (t) => {
  const authority = await makeAuthority(t)
  const before = await readFile(join(authority.directory, 'crl.pem'))
  await assert.rejects(
    authority.revoke('node/nobody', { ...crl, reason: 'unspecified' }),
    rejectsWith('ERR_SI_AUTHORITY', /No certificate node\/nobody was issued here/),
  )
  assert.deepEqual(await readFile(join(authority.directory, 'crl.pem')), before)
})

test('openAuthority() of an empty folder says how to make one', async (t) => {
  await assert.rejects(
    openAuthority(await makeFolder(t)),
    rejectsWith('ERR_SI_AUTHORITY', /^No authority in /),
  )
})
