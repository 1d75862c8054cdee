// Everything that pki parses comes from strangers: whatever the bytes, the answer is a value or a SiError.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CHOICES } from '../../../src/cli/ca.ts'
import { isSiError, SiError } from '../../../src/core/core.ts'
import { REVOCATION_REASONS } from '../../../src/pki/authority-index.ts'
import { parseCertificate, parseCertificates } from '../../../src/pki/certificate.ts'
import { parseCrl, parseCrls } from '../../../src/pki/crl.ts'
import { derInteger, derObjectIdentifier, encodeDer } from '../../../src/pki/der.ts'
import { formatIdentityUri, parseIdentityUri, parseRole, ROLES } from '../../../src/pki/identity.ts'
import { encodePem, parsePem } from '../../../src/pki/pem.ts'
import { generatePrivateKey, KEY_TYPES } from '../../../src/pki/private-key.ts'
import { makeAuthorityCertificate, makeCrl } from '../../../src/pki/x509.ts'

const validity = { notBefore: new Date('2026-01-01'), notAfter: new Date('2036-01-01') }
const issuerKey = generatePrivateKey('p256')
const certificate = await makeAuthorityCertificate('Test CA', issuerKey, validity)
const issuer = parseCertificate(certificate)
const crl = await makeCrl({
  ...{ issuer, issuerKey, number: 1, thisUpdate: validity.notBefore },
  nextUpdate: validity.notAfter,
  revoked: [
    {
      ...{ serial: '7F', role: 'node', name: 'a', notBefore: '', notAfter: '' },
      ...{ revokedAt: '2026-02-01T00:00:00Z', reason: 'keyCompromise' },
    },
  ],
})

function onlySiErrors(parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    assert.ok(isSiError(error), error instanceof Error ? error.stack : String(error))
  }
}

test('a certificate and a CRL that were made are read back, and signed by their issuer', () => {
  assert.equal(issuer.subject, 'CN=Test CA')
  assert.equal(issuer.isAuthority, true)
  assert.equal(issuer.isSignedBy(issuer), true)
  const list = parseCrl(crl)
  assert.deepEqual([...list.revoked], [['7F', new Date('2026-02-01T00:00:00Z')]])
  assert.equal(list.isSignedBy(issuer), true)
})

for (const [what, bytes, parse] of [
  ['parseCertificate()', certificate, parseCertificate],
  ['parseCrl()', crl, parseCrl],
] as const) {
  test(`${what} refuses a truncation at every byte`, () => {
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => parse(bytes.subarray(0, length)), SiError)
    }
  })

  test(`${what} of damaged bytes throws nothing but SiErrors`, () => {
    const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1 })
    fc.assert(
      fc.property(damage, (changes) => {
        const damaged = Buffer.from(bytes)
        for (const [at, value] of changes) damaged[at] = value
        onlySiErrors(() => parse(damaged))
      }),
      { numRuns: 500 },
    )
  })

  test(`${what} of any bytes throws nothing but SiErrors`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        onlySiErrors(() => parse(noise))
        onlySiErrors(() => parse(encodeDer(0x30, noise)))
      }),
      { numRuns: 500 },
    )
  })
}

test('deeply nested DER ends in a SiError, not in the stack', () => {
  let nested: Buffer = Buffer.alloc(0)
  for (let depth = 0; depth < 8000; depth++) nested = encodeDer(0x30, nested)
  assert.throws(() => parseCertificate(nested), SiError)
})

test('parsePem() finds blocks between other text, and any text throws nothing', () => {
  const text = `subject=x\n${encodePem('A B', Buffer.from([1, 2]))}rest\n${encodePem('C', Buffer.alloc(100, 7))}`
  assert.deepEqual(parsePem(text), [
    { label: 'A B', bytes: Buffer.from([1, 2]) },
    { label: 'C', bytes: Buffer.alloc(100, 7) },
  ])
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (noise) => {
      const file = Buffer.from(`-----BEGIN CERTIFICATE-----\n${noise}\n-----END CERTIFICATE-----`)
      onlySiErrors(() => parseCertificates(file, 'file'))
      onlySiErrors(() => parseCrls(file, 'file'))
    }),
  )
})

test('a bit that changes anywhere in a certificate breaks its signature or its encoding', () => {
  fc.assert(
    fc.property(fc.nat(certificate.length * 8 - 1), (bit) => {
      const changed = Buffer.from(certificate)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      try {
        assert.equal(parseCertificate(changed).isSignedBy(issuer), false)
      } catch (error) {
        assert.ok(isSiError(error), String(error))
      }
    }),
    { numRuns: 300 },
  )
})

test('DER numbers and object identifiers are encoded as X.690 says', () => {
  assert.equal(derInteger(0).toString('hex'), '020100')
  assert.equal(derInteger(128).toString('hex'), '02020080')
  assert.equal(derInteger(600_000).toString('hex'), '02030927c0')
  assert.equal(
    derObjectIdentifier('1.2.840.113549.1.5.13').toString('hex'),
    '06092a864886f70d01050d',
  )
  assert.equal(encodeDer(4, Buffer.alloc(300)).subarray(0, 4).toString('hex'), '0482012c')
})

test('identities survive their URI, and every other URI is none', () => {
  const identity = { role: 'signer', name: 'golden.01' } as const
  assert.deepEqual(parseIdentityUri(formatIdentityUri(identity)), identity)
  for (const uri of [
    'swarmimager://signer/',
    'swarmimager://signer/a/b',
    'swarmimager://king/a',
    'https://signer/a',
    'swarmimager://signer/a\n',
  ]) {
    assert.equal(parseIdentityUri(uri), undefined, uri)
  }
  assert.throws(() => parseRole('root'), SiError)
})

test('the choices that si-ca offers are those of pki', () => {
  assert.deepEqual(CHOICES, { roles: ROLES, keyTypes: KEY_TYPES, reasons: REVOCATION_REASONS })
})
