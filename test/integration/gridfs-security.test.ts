// What strangers and hostile clients get from a server of the grid file system: nothing, and a line in its
// log that names the reason.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { describe, test } from 'node:test'
import { type Role } from '../../src/pki/pki.ts'
import { PROTOCOL_NAME } from '../../src/gridfs/wire/operations.ts'
import { LAB_WAIT_MS, startGridLab } from '../lab/grid-lab.ts'
import { createTlsSite, type TlsSite } from '../lab/tls-site.ts'
import { waitFor, withScope } from '../lab/scope.ts'

async function material(tls: TlsSite, role: Role, name: string, daysAgo = 0) {
  const { certPem: cert, keyPem: key } = await tls.issue(role, name, daysAgo)
  return { cert, key }
}

/** Settles once the server has ended the connection; with what TLS said about it. */
function refused(port: number, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      ...{ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: [PROTOCOL_NAME] },
      ...options,
    })
    let error = ''
    socket.setTimeout(LAB_WAIT_MS, () => socket.destroy(new Error('the server let it in')))
    socket.on('error', ({ message }) => (error = message))
    socket.on('close', () =>
      error === 'the server let it in' ? reject(new Error(error)) : resolve(error),
    )
    socket.resume()
  })
}

const RENAME_EXCHANGE = 2

const strangers: Readonly<
  Record<string, { readonly says: RegExp; readonly options: (tls: TlsSite) => Promise<object> }>
> = {
  'no certificate': {
    says: /refused 127\.0\.0\.1: .*(did not return a certificate|no certificate)/,
    options: () => Promise.resolve({}),
  },
  'a certificate of another authority': {
    says: /refused 127\.0\.0\.1: /,
    async options() {
      const other = await createTlsSite('other')
      try {
        return await material(other, 'gridfs-client', 'client')
      } finally {
        await other[Symbol.asyncDispose]()
      }
    },
  },
  'an expired certificate': {
    says: /refused 127\.0\.0\.1: .*expired/,
    options: (tls) => material(tls, 'gridfs-client', 'old', 50),
  },
  'a certificate that is not yet valid': {
    says: /refused 127\.0\.0\.1: .*not yet valid/,
    options: (tls) => material(tls, 'gridfs-client', 'early', -50),
  },
  'the certificate of a signer': {
    says: /refused 127\.0\.0\.1: /,
    options: (tls) => material(tls, 'signer', 'signer'),
  },
  'TLS 1.2': {
    says: /refused 127\.0\.0\.1: .*(protocol|version)/,
    options: async (tls) => ({
      ...(await material(tls, 'gridfs-client', 'client')),
      ...{ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
    }),
  },
  'another protocol': {
    says: /refused 127\.0\.0\.1: .*(gridfs\/1|application protocol)/,
    options: async (tls) => ({
      ...(await material(tls, 'gridfs-client', 'client')),
      ALPNProtocols: ['h2'],
    }),
  },
}

describe('a server of the grid file system', () => {
  test('refuses strangers, and says why', async (context) => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      for (const [name, { says, options }] of Object.entries(strangers)) {
        await context.test(name, async () => {
          site.notes.length = 0
          await refused(site.port, await options(site.tls))
          const isSaid = () => Promise.resolve(site.notes.some((note) => says.test(note)))
          await waitFor(`${String(says)} in ${site.notes.join('; ')}`, isSaid, {
            ...{ deadlineMs: LAB_WAIT_MS, signal: scope.signal },
          })
        })
      }
    })
  })

  test('cuts off who was revoked', async () => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      const connection = await site.connect('revoked')
      await connection.ready
      const passphraseFile = undefined
      const options = { reason: 'keyCompromise', days: 30, passphraseFile } as const
      await site.tls.authority.revoke('gridfs-client/revoked', options)
      const isSaid = () => Promise.resolve(site.notes.some((note) => /revoked/.test(note)))
      await waitFor('the end', isSaid, { deadlineMs: LAB_WAIT_MS, signal: scope.signal })
    })
  })

  test('lets nobody resume a session without showing a certificate', async () => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      const socket = await site.rawClient()
      const taken = once(socket, 'session', { signal: AbortSignal.timeout(LAB_WAIT_MS) })
      socket.resume()
      const [session] = (await taken) as [Buffer]
      socket.destroy()
      const options = await material(site.tls, 'gridfs-client', 'again')
      const again = connect({
        ...{ host: '127.0.0.1', port: site.port, rejectUnauthorized: false, ...options },
        ...{ ALPNProtocols: [PROTOCOL_NAME], session },
      })
      await once(again, 'secureConnect')
      assert.equal(again.isSessionReused(), false)
      again.destroy()
    })
  })

  test('leads nobody out of the export who walks through a folder that turns into a link', async () => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      const outside = join(scope.directory, 'outside')
      await mkdir(outside)
      await writeFile(join(outside, 'secret'), 'secret')
      await mkdir(join(site.directory, 'folder'))
      await symlink(outside, join(site.directory, 'link'))
      const connection = await site.connect()
      const other = await site.connect('other')
      const { root } = await connection.ready
      const at = { parent: root.reference, newParent: root.reference, flags: RENAME_EXCHANGE }
      const [name, newName] = [Buffer.from('folder'), Buffer.from('link')]
      let swaps = 0
      const swapping = (async () => {
        for (; swaps < 300; swaps += 1) await other.call('rename', { ...at, name, newName })
      })()
      let walks = 0
      while (swaps < 300) {
        const { reply } = await connection.call('lookup', { parent: root.reference, name })
        walks += 1
        const calls = [
          connection.call('lookup', { parent: reply.reference, name: Buffer.from('secret') }),
          connection.call('mkdir', {
            ...{ parent: reply.reference, name: Buffer.from('made'), mode: 0o755 },
            caller: { uid: 0, gid: 0 },
          }),
          connection.call('unlink', { parent: reply.reference, name: Buffer.from('secret') }),
        ]
        for (const { status } of (await Promise.allSettled(calls)).filter((_, at) => at !== 1)) {
          assert.equal(status, 'rejected')
        }
      }
      await swapping
      assert.ok(walks > 10)
      assert.deepEqual(await readdir(outside), ['secret'])
    })
  })

  test('gives an export to nobody whom its rules do not name', async () => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      const connection = await site.connect('unwanted')
      await assert.rejects(connection.ready, /does not give us the export \/data: EACCES/)
    })
  })

  test('finds nothing outside of the export, whatever it is asked for', async () => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      await writeFile(join(scope.directory, 'secret'), 'secret')
      await symlink('..', join(site.directory, 'up'))
      const connection = await site.connect()
      const { root } = await connection.ready
      const find = (parent: Uint8Array, name: string) =>
        connection.call('lookup', { parent, name: Buffer.from(name) })
      for (const name of ['..', '.', '', '../secret', 'up/secret', 'a\0b', '/etc']) {
        await assert.rejects(find(root.reference, name), { code: 'EINVAL' }, name)
      }
      await assert.rejects(find(root.reference, '.swarmimager-gridfs'), { code: 'ENOENT' })
      const { reply: up } = await find(root.reference, 'up')
      await assert.rejects(find(up.reference, 'secret'), { code: 'ENOTDIR' })
      await assert.rejects(
        connection.call('open', { reference: up.reference, handle: 1, flags: 0 }),
        {
          code: 'ELOOP',
        },
      )
    })
  })

  test('knows references that it did not give as stale, and cuts off who sends nonsense', async () => {
    await withScope(async (scope) => {
      const site = await startGridLab(scope)
      const connection = await site.connect()
      const { root } = await connection.ready
      const forged = Buffer.from(root.reference)
      forged[5] = (forged[5] ?? 0) ^ 1
      for (const reference of [forged, Buffer.alloc(0), randomBytes(40)]) {
        await assert.rejects(connection.call('getattr', { reference }), { code: 'ESTALE' })
      }
      const options = await material(site.tls, 'gridfs-client', 'fuzzer')
      for (const bytes of [Buffer.alloc(24, 0xff), randomBytes(64), Buffer.alloc(24)]) {
        await new Promise<void>((resolve, reject) => {
          const socket = connect({
            ...{ host: '127.0.0.1', port: site.port, rejectUnauthorized: false, ...options },
            ALPNProtocols: [PROTOCOL_NAME],
          })
          socket.setTimeout(LAB_WAIT_MS, () => reject(new Error('nonsense is let in')))
          socket.on('secureConnect', () => socket.write(Buffer.concat([bytes, Buffer.alloc(5e6)])))
          socket.on('error', () => {})
          socket.on('close', () => resolve())
          socket.resume()
        })
      }
      await connection.call('getattr', { reference: root.reference })
    })
  })
})
