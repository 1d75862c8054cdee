// Whether the signature of an image is believed: what holds, and every way in which it does not.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { isSiError, systemClock, type Clock } from '../../../src/core/core.ts'
import { createAuthority, type Authority } from '../../../src/pki/authority.ts'
import { parseCertificates } from '../../../src/pki/certificate.ts'
import { parseCrls } from '../../../src/pki/crl.ts'
import type { Identity } from '../../../src/pki/identity.ts'
import { encodePem } from '../../../src/pki/pem.ts'
import { generatePrivateKey } from '../../../src/pki/private-key.ts'
import { parseSignature, SIGNATURE_MAX_BYTES } from '../../../src/pki/signature.ts'
import { loadSigner } from '../../../src/pki/signer.ts'
import { checkSigned, loadTrust, type Trust } from '../../../src/pki/trust.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const NOW_MS = Date.parse('2026-03-01T12:00:00Z')
const at = (offsetMs: number): Clock => ({ ...systemClock, now: () => new Date(NOW_MS + offsetMs) })
const clock = at(0)
const MANIFEST = Buffer.from('what is signed')

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'si-trust-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

function makeAuthority(folder: string, name: string): Promise<Authority> {
  const origin = { type: 'new', name, keyType: 'p256' } as const
  const directory = join(folder, name)
  return createAuthority({ directory, days: 3650, passphraseFile: undefined, origin, clock })
}

const GOLDEN: Identity = { role: 'signer', name: 'golden' }

interface Issue {
  readonly folder: string
  readonly authority: Authority
  readonly identity?: Identity
}

async function issue({ folder, authority, identity = GOLDEN }: Issue) {
  const { certificatePem, keyPem, record } = await authority.issue({
    ...{ identity, dnsNames: [], addresses: [], days: 10, passphraseFile: undefined },
    key: { type: 'p256' },
  })
  const files = {
    certificateFile: join(folder, `${record.serial}.pem`),
    keyFile: join(folder, `${record.serial}.key`),
  }
  await writeFile(files.certificateFile, certificatePem)
  await writeFile(files.keyFile, keyPem ?? '', { mode: 0o600 })
  return { ...files, serial: record.serial }
}

async function sign(folder: string, files: Awaited<ReturnType<typeof issue>>): Promise<Buffer> {
  const path = join(folder, 'manifest')
  await writeFile(path, MANIFEST)
  return (await loadSigner(files, clock)).sign(path)
}

async function setUp(t: TestContext) {
  const folder = await makeFolder(t)
  const authority = await makeAuthority(folder, 'Lab CA')
  const files = await issue({ folder, authority })
  const trust: Trust = { anchors: [authority.certificate], crls: [], allowUnsigned: false }
  return { folder, authority, files, trust, signature: await sign(folder, files) }
}

function check(
  trust: Trust,
  signature: Uint8Array | undefined,
  given: { now?: Clock; manifest?: Buffer } = {},
) {
  const { now = clock, manifest = MANIFEST } = given
  const digest = (algorithm: string) =>
    Promise.resolve(createHash(algorithm).update(manifest).digest())
  return checkSigned(trust, { what: 'image web', signature, digest }, now)
}

function untrusted(message: RegExp, hint?: RegExp) {
  return (error: unknown) => {
    assert.ok(isSiError(error, 'ERR_SI_UNTRUSTED'), String(error))
    assert.match(error.message, message)
    if (hint !== undefined) assert.match(error.hint ?? '', hint)
    return true
  }
}

test('checkSigned() believes a signer of a trusted authority, and names it', async (t) => {
  const { trust, signature } = await setUp(t)
  assert.deepEqual(await check(trust, signature), { signer: 'golden', notes: [] })
})

test('checkSigned() refuses a manifest that changed by one bit', async (t) => {
  const { trust, signature } = await setUp(t)
  const manifest = Buffer.from(MANIFEST)
  manifest[0] = (manifest[0] ?? 0) ^ 1
  await assert.rejects(check(trust, signature, { manifest }), untrusted(/one of them was changed/))
})

test('checkSigned() refuses a signature with any bit of signer, digest or value changed', async (t) => {
  const { trust, signature } = await setUp(t)
  let believed = 0
  for (let bit = 0; bit < signature.length * 8; bit += 13) {
    const changed = Buffer.from(signature)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    try {
      await check(trust, changed)
      believed++
    } catch (error) {
      assert.ok(isSiError(error, 'ERR_SI_UNTRUSTED'), `bit ${bit}: ${String(error)}`)
    }
  }
  // Version numbers and the list of digests in front say nothing: nobody signed them.
  assert.ok(believed <= 10, `${believed} changes were believed`)
})

test('checkSigned() refuses every truncation, garbage, and what is too large', async (t) => {
  const { trust, signature } = await setUp(t)
  for (let length = 0; length < signature.length; length += 7) {
    await assert.rejects(check(trust, signature.subarray(0, length)), untrusted(/cannot read its/))
  }
  await assert.rejects(check(trust, randomBytes(500)), untrusted(/cannot read its/))
  const huge = Buffer.concat([signature, Buffer.alloc(SIGNATURE_MAX_BYTES)])
  await assert.rejects(check(trust, huge), untrusted(/too large/))
})

test('checkSigned() refuses a signer of an authority that is not trusted', async (t) => {
  const { folder, signature } = await setUp(t)
  const other = await makeAuthority(folder, 'Other CA')
  const trust = { anchors: [other.certificate], crls: [], allowUnsigned: false }
  await assert.rejects(
    check(trust, signature),
    untrusted(/no trusted authority issued the certificate .* its issuer is CN=Lab CA/, /--trust/),
  )
})

test('checkSigned() refuses a signer of another authority of the same name', async (t) => {
  const { signature } = await setUp(t)
  const twin = await makeAuthority(await makeFolder(t), 'Lab CA')
  const trust = { anchors: [twin.certificate], crls: [], allowUnsigned: true }
  await assert.rejects(check(trust, signature), untrusted(/no trusted authority issued/))
})

test('loadSigner() refuses a certificate of another role before anything is captured', async (t) => {
  const { folder, authority } = await setUp(t)
  const node = await issue({ folder, authority, identity: { role: 'node', name: 'n1' } })
  await assert.rejects(loadSigner(node, clock), {
    code: 'ERR_SI_CERTIFICATE',
    message: /does not have the role signer .* its role: node/,
  })
})

test('loadSigner() refuses a key that others can read, and one of another certificate', async (t) => {
  const { folder, authority, files } = await setUp(t)
  const open = join(folder, 'open.key')
  await writeFile(open, 'x', { mode: 0o644 })
  await assert.rejects(loadSigner({ ...files, keyFile: open }, clock), {
    code: 'ERR_SI_KEY_EXPOSED',
  })
  const { keyFile } = await issue({ folder, authority })
  await assert.rejects(loadSigner({ ...files, keyFile }, clock), { message: /does not belong/ })
})

test('checkSigned() refuses a signer that was revoked, from the moment the CRL is there', async (t) => {
  const { authority, files, trust, signature } = await setUp(t)
  const options = { reason: 'keyCompromise', days: 7, passphraseFile: undefined } as const
  const before = parseCrls(Buffer.from(await authority.publishCrl(options)), 'crl')
  assert.equal((await check({ ...trust, crls: before }, signature)).signer, 'golden')
  await authority.revoke(files.serial, options)
  const crls = [...before, ...parseCrls(Buffer.from(await authority.publishCrl(options)), 'crl')]
  await assert.rejects(
    check({ ...trust, crls }, signature),
    untrusted(/golden was revoked on 2026-03-01T12:00:00Z/),
  )
})

test('checkSigned() refuses an expired CRL, and says when no CRL speaks of the signer', async (t) => {
  const { folder, authority, trust, signature } = await setUp(t)
  const days = { days: 1, passphraseFile: undefined }
  const crls = parseCrls(Buffer.from(await authority.publishCrl(days)), 'crl')
  await assert.rejects(
    check({ ...trust, crls }, signature, { now: at(2 * DAY_MS) }),
    untrusted(/the CRL of CN=Lab CA expired/),
  )
  const other = await makeAuthority(folder, 'Other CA')
  const foreign = parseCrls(Buffer.from(await other.publishCrl(days)), 'crl')
  const { notes } = await check({ ...trust, crls: foreign }, signature)
  assert.match(notes.join(), /revocation was not checked fully: no CRL by CN=Lab CA/)
})

for (const [what, offsetMs, expected] of [
  [
    'a day slow',
    -DAY_MS,
    /not yet valid, only from 2026-03-01T11:55:00Z; the clock of this machine says 2026-02-28T12:00:00Z/,
  ],
  [
    'a day past the end',
    11 * DAY_MS,
    /expired on 2026-03-11T12:00:00Z; the clock of this machine says 2026-03-12T12:00:00Z/,
  ],
] as const) {
  test(`checkSigned() on a machine whose clock is ${what} says so`, async (t) => {
    const { trust, signature } = await setUp(t)
    await assert.rejects(
      check(trust, signature, { now: at(offsetMs) }),
      untrusted(expected, /Check the clock of this machine/),
    )
  })
}

test('checkSigned() without a trusted authority wants --trust or --allow-unsigned, and says whose it is', async (t) => {
  const { signature } = await setUp(t)
  const trust = { anchors: [], crls: [], allowUnsigned: false }
  await assert.rejects(
    check(trust, signature),
    untrusted(/signed by golden, certified by CN=Lab CA/, /--trust ca\.pem.*--allow-unsigned/),
  )
  const verdict = await check({ ...trust, allowUnsigned: true }, signature)
  assert.equal(verdict.signer, null)
  assert.match(verdict.notes.join(), /was not checked/)
})

test('checkSigned() uses an unsigned image only when that was said', async (t) => {
  const { trust } = await setUp(t)
  await assert.rejects(check(trust, undefined), untrusted(/it is not signed/, /--allow-unsigned/))
  const verdict = await check({ ...trust, allowUnsigned: true }, undefined)
  assert.deepEqual(verdict, {
    signer: null,
    notes: ['image web is not signed: nobody vouches for it'],
  })
})

test('--allow-unsigned lets no bad signature through', async (t) => {
  const { trust, signature } = await setUp(t)
  const manifest = Buffer.from('something else')
  await assert.rejects(
    check({ ...trust, allowUnsigned: true }, signature, { manifest }),
    untrusted(/one of them was changed/),
  )
})

test('loadTrust() takes several authorities and CRLs from one file, and no certificate that is none', async (t) => {
  const { folder, authority, files } = await setUp(t)
  const other = await makeAuthority(folder, 'Other CA')
  const crl = await authority.publishCrl({ days: 1, passphraseFile: undefined })
  const pem = [authority, other].map(({ certificate }) =>
    encodePem('CERTIFICATE', certificate.bytes),
  )
  const path = join(folder, 'trust.pem')
  await writeFile(path, [...pem, crl].join('some text\n'))
  const sources = { crlFiles: [], allowUnsigned: false }
  const trust = await loadTrust({ ...sources, trustFiles: [path] })
  assert.deepEqual([trust.anchors.length, trust.crls.length], [2, 1])
  await assert.rejects(loadTrust({ ...sources, trustFiles: [files.certificateFile] }), {
    message: /CN=golden in it is no authority/,
  })
  await writeFile(path, 'no certificate')
  await assert.rejects(loadTrust({ ...sources, trustFiles: [path] }), { message: /no certificate/ })
  await assert.rejects(loadTrust({ ...sources, trustFiles: [join(folder, 'nothing')] }), {
    code: 'ERR_SI_CERTIFICATE',
  })
})

test('an Ed25519 signer is believed, too', async (t) => {
  const folder = await makeFolder(t)
  const authority = await makeAuthority(folder, 'Lab CA')
  const { certificatePem, keyPem } = await authority.issue({
    ...{ identity: GOLDEN, dnsNames: [], addresses: [], days: 1, passphraseFile: undefined },
    key: { type: 'ed25519' },
  })
  const files = {
    certificateFile: join(folder, 's.pem'),
    keyFile: join(folder, 's.key'),
    serial: '',
  }
  await writeFile(files.certificateFile, certificatePem)
  await writeFile(files.keyFile, keyPem ?? '', { mode: 0o600 })
  const trust = { anchors: [authority.certificate], crls: [], allowUnsigned: false }
  assert.equal((await check(trust, await sign(folder, files))).signer, 'golden')
})

test('certificates that go round in circles are given up after a bounded time', async (t) => {
  const { trust, signature } = await setUp(t)
  const key = generatePrivateKey('p256')
  const { makeAuthorityCertificate } = await import('../../../src/pki/x509.ts')
  const validity = { notBefore: new Date(NOW_MS - DAY_MS), notAfter: new Date(NOW_MS + DAY_MS) }
  const twins: string[] = []
  for (let i = 0; i < 15; i++) {
    twins.push(encodePem('CERTIFICATE', await makeAuthorityCertificate('Twin', key, validity)))
  }
  const { checkPath } = await import('../../../src/pki/certificate-path.ts')
  const [leaf, ...others] = parseCertificates(Buffer.from(twins.join('')), 'twins')
  assert.ok(leaf !== undefined)
  const startMs = performance.now()
  assert.throws(
    () => checkPath(leaf, { anchors: trust.anchors, others, crls: [], now: new Date(NOW_MS) }),
    untrusted(/no trusted authority/),
  )
  assert.ok(performance.now() - startMs < 2000)
  assert.ok(signature.length < 2000)
})

test('parseSignature() of damaged or any bytes throws nothing but SiErrors', async (t) => {
  const { signature } = await setUp(t)
  const onlySiErrors = (bytes: Uint8Array) => {
    try {
      parseSignature(bytes).verify(MANIFEST)
    } catch (error) {
      assert.ok(isSiError(error), error instanceof Error ? error.stack : String(error))
    }
  }
  const damage = fc.array(fc.tuple(fc.nat(signature.length - 1), fc.nat(255)), { minLength: 1 })
  fc.assert(
    fc.property(damage, (changes) => {
      const damaged = Buffer.from(signature)
      for (const [position, value] of changes) damaged[position] = value
      onlySiErrors(damaged)
    }),
    { numRuns: 500 },
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), onlySiErrors))
  for (let length = 0; length < signature.length; length++) {
    onlySiErrors(signature.subarray(0, length))
  }
})
