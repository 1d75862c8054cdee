// Certificates, requests and CRLs against the real openssl: it accepts what we issue, we accept what it
// issues, and a company CA above ours works.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { run } from '../../src/host/host.ts'
import { createAuthority, openAuthority, ROLES, type KeyType } from '../../src/pki/pki.ts'

const DAYS = 30

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'si-openssl-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

async function openssl(...args: readonly string[]): Promise<{ text: string; exitCode: number }> {
  const { stdout, stderr, exitCode } = await run('openssl', args, { okExitCodes: [0, 1, 2] })
  return { text: `${stdout}${stderr}`, exitCode }
}

async function succeed(...args: readonly string[]): Promise<string> {
  const { text, exitCode } = await openssl(...args)
  assert.equal(exitCode, 0, text)
  return text
}

async function makeAuthority(directory: string, keyType: KeyType) {
  const origin = { type: 'new', name: 'Lab CA, with "odd" characters', keyType } as const
  return createAuthority({ directory, days: DAYS, passphraseFile: undefined, origin })
}

const plain = { dnsNames: [], addresses: [], days: undefined, passphraseFile: undefined }

for (const keyType of ['p256', 'ed25519'] as const) {
  test(`openssl verify accepts every role of a ${keyType} authority, and the revoked one no more`, async (t) => {
    const folder = await makeFolder(t)
    const ca = join(folder, 'ca')
    const authority = await makeAuthority(ca, keyType)
    const path = (role: string) => join(folder, `${role}.pem`)
    for (const role of ROLES) {
      const { certificatePem } = await authority.issue({
        ...plain,
        identity: { role, name: 'host-01' },
        ...{ dnsNames: ['host-01.lab'], addresses: ['10.0.0.1', 'fd00::1'] },
        key: { type: keyType },
      })
      await writeFile(path(role), certificatePem)
    }
    const trust = join(folder, 'trust.pem')
    const writeTrust = async () =>
      writeFile(
        trust,
        Buffer.concat([await readFile(join(ca, 'ca.pem')), await readFile(join(ca, 'crl.pem'))]),
      )
    await writeTrust()
    const check = ['verify', '-x509_strict', '-crl_check', '-CAfile', trust]
    for (const role of ROLES) await succeed(...check, path(role))
    for (const [role, purpose] of [
      ['image-server', 'sslserver'],
      ['image-server', 'sslclient'],
      ['node', 'sslclient'],
      ['node', 'sslserver'],
      ['gridfs-client', 'sslclient'],
      ['gridfs-server', 'sslserver'],
    ] as const) {
      await succeed(...check, '-purpose', purpose, path(role))
    }
    const wrongUse = await openssl(...check, '-purpose', 'sslserver', path('signer'))
    assert.match(wrongUse.text, /unsuitable certificate purpose/)
    await succeed(...check, '-verify_hostname', 'host-01.lab', path('image-server'))
    await succeed(...check, '-verify_ip', 'fd00::1', path('image-server'))
    await authority.revoke('node/host-01', {
      ...{ reason: 'keyCompromise', days: DAYS, passphraseFile: undefined },
    })
    await writeTrust()
    assert.match((await openssl(...check, path('node'))).text, /certificate revoked/)
    await succeed(...check, path('signer'))
    assert.match(
      await succeed('crl', '-in', join(ca, 'crl.pem'), '-noout', '-text'),
      /Key Compromise/,
    )
  })
}

test('issue() certifies the key of a request by openssl, and nothing else of it', async (t) => {
  const folder = await makeFolder(t)
  const ca = join(folder, 'ca')
  const authority = await makeAuthority(ca, 'p256')
  const [key, csr, out] = ['k.pem', 'r.csr', 'c.pem'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const subject = ['-subj', '/CN=evil', '-addext', 'subjectAltName=URI:swarmimager://signer/evil']
  await succeed(
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    key,
    '-out',
    csr,
    ...subject,
  )
  const { certificatePem, keyPem } = await authority.issue({
    ...plain,
    identity: { role: 'node', name: 'node01' },
    key: { request: await readFile(csr) },
  })
  assert.equal(keyPem, undefined)
  await writeFile(out, certificatePem)
  await succeed('verify', '-x509_strict', '-CAfile', join(ca, 'ca.pem'), out)
  const text = await succeed('x509', '-in', out, '-noout', '-text')
  assert.match(text, /URI:swarmimager:\/\/node\/node01/)
  assert.doesNotMatch(text, /evil/)
  assert.equal(
    await succeed('x509', '-in', out, '-noout', '-pubkey'),
    await succeed('pkey', '-in', key, '-pubout'),
  )
})

test('issue() refuses a request that was not signed by its key', async (t) => {
  const folder = await makeFolder(t)
  const authority = await makeAuthority(join(folder, 'ca'), 'p256')
  const [key, csr] = [join(folder, 'k.pem'), join(folder, 'r.csr')]
  const form = ['-outform', 'DER', '-newkey', 'ed25519', '-nodes', '-subj', '/CN=a']
  await succeed('req', '-new', ...form, '-keyout', key, '-out', csr)
  const request = await readFile(csr)
  request[request.length - 9] = (request.at(-9) ?? 0) ^ 1
  await assert.rejects(
    authority.issue({ ...plain, identity: { role: 'node', name: 'a' }, key: { request } }),
    { code: 'ERR_SI_CERTIFICATE', message: /signature does not match its key/ },
  )
})

for (const algorithm of ['rsa:3072', 'ec'] as const) {
  test(`createAuthority() takes over a company's intermediate (${algorithm}), and openssl follows the chain`, async (t) => {
    const folder = await makeFolder(t)
    const at = (name: string) => join(folder, name)
    const newKey =
      algorithm === 'ec'
        ? ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384']
        : ['-newkey', algorithm]
    const subject = (name: string) => ['-subj', `/C=DE/O=Company, Ltd/CN=${name}`]
    await succeed('req', '-x509', ...newKey, '-nodes', '-keyout', at('root.key'), '-out', at('root.pem'),
      '-days', '9', '-addext', 'keyUsage=critical,keyCertSign,cRLSign', ...subject('Root')) // prettier-ignore
    await succeed('req', '-new', ...newKey, '-nodes', '-keyout', at('sub.key'), '-out', at('sub.csr'),
      ...subject('Sub')) // prettier-ignore
    await writeFile(
      at('extensions'),
      'basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n' +
        'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n',
    )
    await succeed('x509', '-req', '-in', at('sub.csr'), '-CA', at('root.pem'), '-CAkey', at('root.key'),
      '-CAcreateserial', '-days', '9', '-extfile', at('extensions'), '-out', at('sub.pem')) // prettier-ignore
    const origin = {
      type: 'existing',
      certificateFile: at('sub.pem'),
      keyFile: at('sub.key'),
    } as const
    await createAuthority({ directory: at('ca'), days: DAYS, passphraseFile: undefined, origin })
    const authority = await openAuthority(at('ca'))
    const { certificatePem } = await authority.issue({
      ...plain,
      identity: { role: 'signer', name: 'golden' },
      key: { type: 'p256' },
    })
    await writeFile(at('leaf.pem'), certificatePem)
    const chain = ['-CAfile', at('root.pem'), '-untrusted', at('leaf.pem')]
    await succeed('verify', '-x509_strict', ...chain, at('leaf.pem'))
    await authority.revoke('signer/golden', {
      ...{ reason: 'superseded', days: DAYS, passphraseFile: undefined },
    })
    const crl = ['-crl_check', '-CRLfile', at('ca/crl.pem')]
    assert.match((await openssl('verify', ...crl, ...chain, at('leaf.pem'))).text, /revoked/)
  })
}
