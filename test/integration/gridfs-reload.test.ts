// Rules that change under a running server, and its end: who has lost a right is cut off, what was begun is
// answered, and what nobody comes back for is taken away.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { LiveRules, readRules } from '../../src/gridfs/gridfs.ts'
import { LAB_WAIT_MS, startGridLab } from '../lab/grid-lab.ts'
import { createGridSite } from '../lab/grid-site.ts'
import { waitFor, withScope } from '../lab/scope.ts'

const text = (directory: string, access: string, clients = 'gridfs-client/*') =>
  `exports:\n  - { name: /data, directory: ${directory}, access: ${access}, clients: [${clients}] }\n`

describe('GridServer.setRules()', () => {
  test('cuts off who may not use an export any more, and lets others stay', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const [one, two] = [await lab.connect('one'), await lab.connect('two')]
      const { root } = await one.ready
      await two.ready
      const [exported] = lab.rules.exports
      assert.ok(exported)
      const mayUse = ({ name }: { readonly name: string }) => name !== 'two'
      lab.server.setRules({ exports: [{ ...exported, allows: mayUse }] })
      assert.match(lab.notes.join(), /cut off two \(127\.0\.0\.1\): \/data is not for it any more/)
      await one.call('getattr', { reference: root.reference })
      lab.server.setRules({ exports: [] })
      assert.match(lab.notes.join(), /cut off one .*\/data is not exported any more/)
    })
  })

  test('changes nothing when an export cannot be', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const client = await lab.connect()
      const { root } = await client.ready
      const [exported] = lab.rules.exports
      assert.ok(exported)
      const other = { ...exported, name: '/other', directory: join(scope.directory, 'missing') }
      assert.throws(() => lab.server.setRules({ exports: [other] }), {
        code: 'ERR_SI_CONFIGURATION',
        message: /Cannot export \/other: .*ENOENT/,
      })
      await client.call('getattr', { reference: root.reference })
    })
  })

  test('takes what clients may change at once', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const client = await lab.connect()
      const { root } = await client.ready
      const mkdirCall = (name: string) =>
        client.call('mkdir', {
          ...{ parent: root.reference, name: Buffer.from(name), mode: 0o755 },
          caller: { uid: 0, gid: 0 },
        })
      await mkdirCall('before')
      const exports = lab.rules.exports.map((one) => ({ ...one, isReadOnly: true }))
      lab.server.setRules({ exports })
      await assert.rejects(mkdirCall('after'), { code: 'EROFS' })
    })
  })
})

describe('LiveRules.look()', () => {
  test('reads a file that has changed, and keeps to what was read when it has a fault', async () => {
    await withScope(async (scope) => {
      const file = join(scope.directory, 'gridfs.yaml')
      await writeFile(file, text('/srv', 'read-only'))
      const [notes, names]: [string[], string[]] = [[], []]
      const live = await LiveRules.of({
        file,
        onNote: (note) => notes.push(note),
        onRules: ({ exports }) => names.push(exports.map(({ directory }) => directory).join()),
      })
      await live.look({ isForced: false })
      assert.deepEqual([names, notes], [[], []])
      await writeFile(file, text('/elsewhere', 'read-only'))
      await live.look({ isForced: false })
      assert.deepEqual(names, ['/elsewhere'])
      await writeFile(file, text('/elsewhere', 'sometimes'))
      await live.look({ isForced: false })
      await live.look({ isForced: false })
      assert.deepEqual(names, ['/elsewhere'])
      assert.match(notes.join('\n'), /line 2: .*what was read before stays in force$/s)
      assert.equal(notes.length, 2)
    })
  })

  test('readRules() knows limits, and names the line of one that is none', async () => {
    await withScope(async (scope) => {
      const file = join(scope.directory, 'gridfs.yaml')
      await writeFile(
        file,
        `${text('/srv', 'read-only')}limits: { openFiles: 5, memory: 64MiB, stalled: 5s }\n`,
      )
      const { limits } = await readRules(file)
      assert.equal(limits?.openFiles, 5)
      assert.equal(limits.memoryBytes, 64 * 2 ** 20)
      assert.equal(limits.stalledMs, 5000)
      assert.equal(limits.clientConnections, 16)
      await writeFile(file, `${text('/srv', 'read-only')}limits:\n  memory: 12\n`)
      await assert.rejects(readRules(file), /line 4: .*at least 4MiB/)
    })
  })
})

describe('a server of the grid file system that ends', () => {
  test('answers what it has begun before it does', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const client = await lab.connect()
      const { root } = await client.ready
      await client.call('create', {
        ...{ parent: root.reference, name: Buffer.from('file'), handle: 1, flags: 2, mode: 0o644 },
        caller: { uid: 0, gid: 0 },
      })
      const block = Buffer.alloc(2 ** 20, 'x')
      const writes = Array.from({ length: 16 }, (_, index) =>
        client.call(
          'write',
          { handle: 1, offset: index * block.length, killsPrivileges: false },
          { data: [block] },
        ),
      )
      await writes[0]
      const others = Promise.allSettled(writes)
      await lab.server.close()
      client.close()
      const answered = (await others).filter(({ status }) => status === 'fulfilled').length
      const { length } = await readFile(join(lab.directory, 'file'))
      assert.ok(answered >= 1)
      assert.ok(length >= answered * block.length)
    })
  })

  test('takes away files without names that nobody comes back for, and records of sessions', async () => {
    await withScope(async (scope) => {
      const hidden = join(scope.directory, 'export', '.swarmimager-gridfs')
      const leaseMs = 1500
      const lab = await startGridLab(scope, {
        leaseMs,
        async prepare({ directory, stateDirectory }) {
          await mkdir(join(directory, '.swarmimager-gridfs'))
          await writeFile(join(directory, '.swarmimager-gridfs', 'a'.repeat(32)), 'left')
          await writeFile(join(stateDirectory, 'b'.repeat(64)), '')
        },
      })
      const client = await lab.connect()
      await client.ready
      assert.equal((await readdir(hidden)).length, 1)
      const wait = { deadlineMs: LAB_WAIT_MS, signal: scope.signal }
      await waitFor('the file to go', async () => (await readdir(hidden)).length === 0, wait)
      const records = async () => {
        const names = await readdir(join(scope.directory, 'state'))
        return names.filter((name) => /^[0-9a-f]{64}$/.test(name))
      }
      await waitFor(
        'the record to go',
        async () => !(await records()).includes('b'.repeat(64)),
        wait,
      )
      assert.equal((await records()).length, 1)
      client.close()
      await waitFor('the last record to go', async () => (await records()).length === 0, wait)
    })
  })

  test('lets programs on mounts go on with the next one after SIGTERM', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folder = await site.mount('mounted')
      const writing = (async () => {
        for (let round = 0; round < 60; round += 1) {
          await writeFile(join(folder, `file-${round}`), `${round}`)
        }
      })()
      for (let stop = 0; stop < 3; stop += 1) {
        await site.server().stop('SIGTERM')
        await site.restart()
      }
      await writing
      for (let round = 0; round < 60; round += 1) {
        assert.equal(await readFile(join(site.directory, `file-${round}`), 'utf8'), `${round}`)
      }
    })
  })
})
