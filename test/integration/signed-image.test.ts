// Signed images through the swarm and against the real openssl: what is deployed was signed, whatever the
// torrent says; openssl accepts our signatures, we accept openssl's.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSiError, silentProgress } from '../../src/core/core.ts'
import { deploy, type DeployOptions } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import { checkSigned, hashFile, loadSigner, loadTrust, openAuthority } from '../../src/pki/pki.ts'
import { silentLog, startSeeder } from '../../src/server/server.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample, type SampleImage } from './deploy-sample.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const io = { progress: silentProgress, confirm: () => Promise.resolve() }

async function setUp(scope: Scope) {
  const pki = join(scope.directory, 'pki')
  await makeCertificates(pki)
  const files = { certificateFile: join(pki, 'signer.pem'), keyFile: join(pki, 'signer.key') }
  const signer = await loadSigner(files)
  const tree = join(scope.directory, 'golden')
  await mkdir(tree)
  await writeFile(join(tree, 'file'), 'content')
  const trust = await loadTrust({
    ...{ trustFiles: [join(pki, 'ca.pem')], crlFiles: [], allowUnsigned: false },
  })
  return { pki, signer, tree, trust }
}

/** Deploys into a new folder; returns what is in it afterwards, or the error. */
async function tryDeploy(scope: Scope, image: SampleImage, changes: Partial<DeployOptions>) {
  const seeder = await seedSample(image)
  const directory = join(scope.directory, `target-${Math.random()}`)
  await mkdir(directory)
  const options = { peers: [seeder.address], ...changes }
  try {
    const target = { type: 'root', directory } as const
    const report = await deploy(deployOptions(image, target, options), io, scope.signal)
    return { report, names: await readdir(directory) }
  } catch (error) {
    assert.deepEqual(await readdir(directory), [], 'something was written')
    return { error }
  } finally {
    await seeder.close()
  }
}

function assertUntrusted({ error }: { readonly error?: unknown }, message: RegExp): void {
  assert.ok(isSiError(error, 'ERR_SI_UNTRUSTED'), String(error))
  assert.match(error.message, message)
}

test('deploy() writes a signed image, and says who signed it', { skip }, () =>
  withScope(async (scope) => {
    const { signer, tree, trust } = await setUp(scope)
    // Pieces so small that the signature shares one with the manifest and reaches into the next.
    const pieceLengthBytes = 16384
    const directory = join(scope.directory, 'image')
    const sign = signer.sign
    const image = await makeSampleImage({ tree, directory, pieceLengthBytes, sign })
    const { report, names } = await tryDeploy(scope, image, { trust })
    assert.equal(report?.signedBy, 'server')
    assert.deepEqual(names, ['file'])
    const named = { name: 'sample', version: '1' }
    assert.ok((await tryDeploy(scope, image, { trust, expect: named })).report)
    const newer = await tryDeploy(scope, image, { trust, expect: { ...named, version: '2' } })
    assertUntrusted(newer, /Cannot use image sample\/1: sample\/2 was asked for/)
    const other = { name: 'other', version: undefined }
    assertUntrusted(await tryDeploy(scope, image, { trust, expect: other }), /other was asked for/)
  }),
)

test(
  'deploy() writes nothing of an image whose signature is another, none, or garbage',
  { skip },
  () =>
    withScope(async (scope) => {
      const { pki, signer, tree, trust } = await setUp(scope)
      const make = (name: string, sign?: (path: string) => Promise<Uint8Array>) => {
        const directory = join(scope.directory, name)
        return makeSampleImage({ tree, directory, ...(sign === undefined ? {} : { sign }) })
      }
      assertUntrusted(await tryDeploy(scope, await make('unsigned'), { trust }), /it is not signed/)
      const garbage = await make('garbage', () => Promise.resolve(Buffer.alloc(3000, 0x30)))
      assertUntrusted(await tryDeploy(scope, garbage, { trust }), /cannot read its signature/)
      const flipped = await make('flipped', async (path) => {
        const signature = await signer.sign(path)
        signature[signature.length - 1] = (signature.at(-1) ?? 0) ^ 1
        return signature
      })
      assertUntrusted(await tryDeploy(scope, flipped, { trust }), /one of them was changed/)
      const ofOther = await make('of-other', () => signer.sign(join(tree, 'file')))
      assertUntrusted(await tryDeploy(scope, ofOther, { trust }), /one of them was changed/)
      const huge = await make('huge', () => Promise.resolve(Buffer.alloc(65537)))
      const { error } = await tryDeploy(scope, huge, { trust }).catch((thrown: unknown) => ({
        error: thrown,
      }))
      assert.ok(isSiError(error, 'ERR_SI_IMAGE_FORMAT'), String(error))
      await (
        await openAuthority(join(pki, 'ca'))
      ).revoke('signer/server', {
        ...{ reason: 'keyCompromise', days: 1, passphraseFile: undefined },
      })
      const revoking = await loadTrust({
        ...{ trustFiles: [join(pki, 'ca.pem')], crlFiles: [join(pki, 'ca/crl.pem')] },
        allowUnsigned: true,
      })
      const good = await make('good', signer.sign)
      assertUntrusted(await tryDeploy(scope, good, { trust: revoking }), /was revoked on/)
    }),
)

test('startSeeder() offers no image that this machine does not trust', { skip }, () =>
  withScope(async (scope) => {
    const { signer, tree, trust } = await setUp(scope)
    const directory = join(scope.directory, 'image')
    const image = await makeSampleImage({ tree, directory, sign: signer.sign })
    const sources = [{ torrentPath: image.torrentPath, directory }]
    const options = {
      ...{ sources, host: '127.0.0.1', peerPort: 0, trackers: [], log: silentLog, trust },
    }
    await (await startSeeder(options, scope.signal)).close()
    const path = join(directory, 'manifest.sig')
    const signature = await readFile(path)
    signature[signature.length - 1] = (signature.at(-1) ?? 0) ^ 1
    await writeFile(path, signature)
    await assert.rejects(startSeeder(options, scope.signal), { code: 'ERR_SI_UNTRUSTED' })
    const nobody = { anchors: [], crls: [], allowUnsigned: false }
    await assert.rejects(startSeeder({ ...options, trust: nobody }, scope.signal), {
      code: 'ERR_SI_UNTRUSTED',
    })
  }),
)

test('openssl cms verifies our signature, and no changed manifest', () =>
  withScope(async (scope) => {
    const { pki, signer } = await setUp(scope)
    const [content, signature] = [join(scope.directory, 'content'), join(scope.directory, 'sig')]
    await writeFile(content, 'manifest')
    await writeFile(signature, await signer.sign(content))
    const where = ['-inform', 'DER', '-in', signature, '-content', content]
    const how = ['-CAfile', join(pki, 'ca.pem'), '-purpose', 'any', '-out', '/dev/null']
    const verify = ['cms', '-verify', '-binary', ...where, ...how]
    await run('openssl', verify)
    await writeFile(content, 'Manifest')
    assert.notEqual((await run('openssl', verify, { okExitCodes: [0, 4] })).exitCode, 0)
  }))

for (const [kind, ...algorithm] of [
  ['RSA', '-newkey', 'rsa:2048'],
  ['P-384', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
] as const) {
  test(`a company's ${kind} signer below an intermediate is believed, signing with openssl or with us`, () =>
    withScope(async (scope) => {
      const at = (name: string) => join(scope.directory, name)
      const openssl = (...args: readonly string[]) => run('openssl', args)
      const [ca, usage] = [
        'basicConstraints=critical,CA:true',
        'keyUsage=critical,keyCertSign,cRLSign',
      ]
      await openssl('req', '-x509', ...algorithm, '-nodes', '-keyout', at('root.key'), '-out', at('root.pem'),
        '-days', '9', '-subj', '/O=Company/CN=Root', '-addext', usage) // prettier-ignore
      const certify = async (name: string, issuer: string, extensions: readonly string[]) => {
        const subject = ['-subj', `/O=Company/CN=${name}`]
        const csr = ['-keyout', at(`${name}.key`), '-out', at(`${name}.csr`)]
        await openssl('req', '-new', ...algorithm, '-nodes', ...csr, ...subject)
        await writeFile(at(`${name}.ext`), extensions.join('\n'))
        const by = ['-CA', at(`${issuer}.pem`), '-CAkey', at(`${issuer}.key`), '-CAcreateserial']
        await openssl('x509', '-req', '-in', at(`${name}.csr`), ...by, '-days', '9',
          '-extfile', at(`${name}.ext`), '-out', at(`${name}.pem`)) // prettier-ignore
      }
      await certify('sub', 'root', [ca, usage])
      await certify('signer', 'sub', ['subjectAltName=URI:swarmimager://signer/company'])
      await writeFile(at('content'), 'manifest')
      const chain = Buffer.concat([await readFile(at('signer.pem')), await readFile(at('sub.pem'))])
      await writeFile(at('chain.pem'), chain)
      const key = [
        '-signer',
        at('signer.pem'),
        '-inkey',
        at('signer.key'),
        '-certfile',
        at('sub.pem'),
      ]
      await openssl(
        'cms',
        '-sign',
        '-binary',
        '-in',
        at('content'),
        ...key,
        '-outform',
        'DER',
        '-out',
        at('sig'),
      )
      const trust = await loadTrust({
        trustFiles: [at('root.pem')],
        crlFiles: [],
        allowUnsigned: false,
      })
      const ours = await loadSigner({ certificateFile: at('chain.pem'), keyFile: at('signer.key') })
      for (const signature of [await readFile(at('sig')), await ours.sign(at('content'))]) {
        const digest = (name: 'sha256' | 'sha384' | 'sha512') => hashFile(at('content'), name)
        const verdict = await checkSigned(trust, { what: 'image', signature, digest })
        assert.equal(verdict.signer, 'company')
      }
    }))
}
