// Certificates for TLS: whom this machine lets in, and when it can be somebody itself.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { copyFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { openCredentials, PEER_ROLES, type Credentials } from '../../../src/pki/pki.ts'
import { createTlsSite, type IssuedFiles } from '../../lab/tls-site.ts'
import { waitFor } from '../../lab/scope.ts'

const OPTIONS = { roles: PEER_ROLES, roundMs: 50 }
const CALLER = { roles: PEER_ROLES, side: 'client' } as const

function shown({ certPem }: IssuedFiles): readonly Uint8Array[] {
  return [new X509Certificate(certPem).raw]
}

test('Credentials.check() tells role and name of whom the authority certified', async () => {
  await using site = await createTlsSite()
  const credentials = await site.credentials('image-server', 'server')
  const node = shown(await site.issue('node', 'node01'))
  assert.deepEqual(credentials.check(node, CALLER), { role: 'node', name: 'node01' })
  const needsServer = { roles: ['image-server'], side: 'server' } as const
  assert.throws(() => credentials.check(node, needsServer), {
    code: 'ERR_SI_UNTRUSTED',
    message: /does not have the role image-server; its role: node/,
  })
  assert.throws(() => credentials.check([], CALLER), { message: 'it shows no certificate' })
})

test('Credentials.check() refuses bytes that are no certificate, whatever they are', async () => {
  await using site = await createTlsSite()
  const credentials = await site.credentials('node', 'node01')
  const [whole = new Uint8Array()] = shown(await site.issue('node', 'node02'))
  const refuses = (bytes: Uint8Array) => {
    try {
      credentials.check([bytes], CALLER)
    } catch (error) {
      return isSiError(error, 'ERR_SI_UNTRUSTED')
    }
    return false
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), refuses), { numRuns: 200 })
  for (let length = 0; length < whole.length; length++) {
    assert.ok(refuses(whole.subarray(0, length)), `cut after ${length} bytes`)
  }
})

test('openCredentials() refuses what others would refuse, and says what to do', async () => {
  await using site = await createTlsSite()
  const open = async (issued: IssuedFiles) => openCredentials(site.filesOf(issued), OPTIONS)
  await assert.rejects(open(await site.issue('signer', 'golden')), {
    code: 'ERR_SI_CERTIFICATE',
    message: /does not have the role node or image-server; its role: signer/,
    hint: 'Have one issued: si-ca issue --role node --name NAME',
  })
  await assert.rejects(open(await site.issue('node', 'old', 50)), { message: /expired on/ })
  const [one, other] = [await site.issue('node', 'one'), await site.issue('node', 'other')]
  await copyFile(other.keyFile, one.keyFile)
  await assert.rejects(open(one), { message: /does not belong to/ })
  await assert.rejects(openCredentials({ ...site.filesOf(other), trustFiles: [] }, OPTIONS), {
    message: /no authority is trusted here/,
  })
})

/** Waits until `isSo` holds after a round. */
async function rounds(credentials: Credentials, isSo: () => boolean): Promise<void> {
  let count = 0
  const stop = credentials.onRound(() => count++)
  await waitFor('rounds', () => Promise.resolve(count > 1 && isSo()), { deadlineMs: 20_000 })
  stop()
}

test('Credentials are read anew when a file changes, and stay when it cannot be used', async () => {
  await using site = await createTlsSite()
  const notes: string[] = []
  const files = await site.issue('node', 'node01')
  const credentials = await openCredentials(site.filesOf(files), {
    ...OPTIONS,
    onNote: (text) => notes.push(text),
  })
  try {
    const first = credentials.material
    await writeFile(files.certificateFile, 'nonsense')
    await rounds(credentials, () =>
      notes.some((note) => /no certificate.*stays in force/.test(note)),
    )
    assert.equal(credentials.material, first)
    const renewed = await site.issue('node', 'renewed')
    await copyFile(renewed.keyFile, files.keyFile)
    await copyFile(renewed.certificateFile, files.certificateFile)
    await rounds(credentials, () => credentials.material.cert === renewed.certPem)
  } finally {
    credentials.close()
  }
})

test('Credentials say in time what will end', async () => {
  await using site = await createTlsSite()
  const notesOf = async (daysAgo: number) => {
    const notes: string[] = []
    const files = site.filesOf(await site.issue('node', 'node01', daysAgo))
    const onNote = (text: string) => notes.push(text)
    const credentials = await openCredentials(files, { ...OPTIONS, onNote })
    await rounds(credentials, () => true)
    credentials.close()
    return notes.join('\n')
  }
  assert.equal(await notesOf(0), '')
  assert.match(await notesOf(5), /^the certificate of this machine ends in [45] days.*$/)
  await site.authority.publishCrl({ days: 3, passphraseFile: undefined })
  assert.match(await notesOf(0), /^a CRL ends in [23] days.*si-ca crl\)$/)
})
