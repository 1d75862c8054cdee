// Requests that touch the same bytes of a file are carried out in the order in which they came, though many
// are in flight at once; and a file that a client closes while it is written stays open for as long.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type GridConnection } from '../../src/gridfs/client/connection.ts'
import { startGridLab } from '../lab/grid-lab.ts'
import { withScope } from '../lab/scope.ts'

const O_RDWR = 2
const ROUNDS = 40
const LARGE_BYTES = 2 ** 20

async function createFile(connection: GridConnection, name: string, handle = 1) {
  const { root } = await connection.ready
  const { reply } = await connection.call('create', {
    ...{ parent: root.reference, name: Buffer.from(name), handle, flags: O_RDWR, mode: 0o644 },
    caller: { uid: 0, gid: 0 },
  })
  return reply.reference
}

const noChange = {
  ...{ mode: undefined, uid: undefined, gid: undefined, accessed: undefined, modified: undefined },
  killsPrivileges: false,
}

describe('a server of the grid file system', () => {
  test('carries out writes of the same bytes in the order in which they came', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const connection = await lab.connect()
      await createFile(connection, 'file')
      const write = (byte: number, sizeBytes: number) => {
        const request = { handle: 1, offset: 0, killsPrivileges: false }
        return connection.call('write', request, { data: [Buffer.alloc(sizeBytes, byte)] })
      }
      for (let round = 0; round < ROUNDS; round += 1) {
        const sizes = Array.from({ length: 8 }, (_, index) => LARGE_BYTES >> index)
        await Promise.all(sizes.map((sizeBytes, index) => write(index, sizeBytes)))
        const found = await readFile(join(lab.directory, 'file'))
        sizes.forEach((sizeBytes, index) => {
          assert.equal(found[sizeBytes - 1], index, `round ${round}`)
          assert.equal(found[sizes[index + 1] ?? 0], index, `round ${round}`)
        })
      }
    })
  })

  test('reads, cuts and synchronises behind the writes that came before', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const connection = await lab.connect()
      const reference = await createFile(connection, 'file')
      for (let round = 0; round < ROUNDS; round += 1) {
        const block = Buffer.alloc(LARGE_BYTES, round + 1)
        const write = { handle: 1, offset: 0, killsPrivileges: false }
        const cut = {
          ...{ reference, caller: { uid: 0, gid: 0 } },
          changes: { ...noChange, sizeBytes: 10 },
        }
        const writes = [0, LARGE_BYTES].map((offset) =>
          connection.call('write', { ...write, offset }, { data: [block] }),
        )
        await nextTurn() // what needs no slot would be sent first
        const across = { handle: 1, offset: LARGE_BYTES - 1, sizeBytes: 2 }
        const read = connection.call('read', across)
        const found = await read
        const set = connection.call('setattr', cut)
        await nextTurn()
        const last = connection.call('read', { handle: 1, offset: 0, sizeBytes: 100 })
        const [left] = await Promise.all([last, set, ...writes])
        assert.deepEqual(Buffer.concat(found.data), Buffer.alloc(2, round + 1))
        assert.deepEqual(Buffer.concat(left.data), Buffer.alloc(10, round + 1))
      }
    })
  })

  test('writes to no other file when the handle is given to another before the writes are done', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const [hostile, other] = [await lab.connect('hostile'), await lab.connect('other')]
      for (let round = 0; round < ROUNDS; round += 1) {
        await createFile(hostile, `hostile-${round}`, round)
        const request = { handle: round, offset: 0, killsPrivileges: false }
        const data = [Buffer.alloc(LARGE_BYTES, 'x')]
        const writes = Array.from({ length: 8 }, (_, index) =>
          hostile.call('write', { ...request, offset: index * LARGE_BYTES }, { data }),
        )
        const victims = Array.from({ length: 4 }, (_, index) =>
          createFile(other, `victim-${round}-${index}`, round * 4 + index),
        )
        await Promise.all([...writes, createFile(hostile, `again-${round}`, round), ...victims])
        for (let index = 0; index < 4; index += 1) {
          const victim = await readFile(join(lab.directory, `victim-${round}-${index}`))
          assert.equal(victim.length, 0)
        }
      }
    })
  })

  test('opens neither devices nor pipes of its own machine for a client', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope)
      const connection = await lab.connect()
      const { root } = await connection.ready
      const kinds = { device: 0o020666, disk: 0o060666, pipe: 0o010666, socket: 0o140666 }
      for (const [name, mode] of Object.entries(kinds)) {
        const { reply } = await connection.call('mknod', {
          ...{ parent: root.reference, name: Buffer.from(name), mode, device: 0x103 },
          caller: { uid: 0, gid: 0 },
        })
        const request = { reference: reply.reference, handle: 1, flags: 0 }
        await assert.rejects(connection.call('open', request), { code: 'ENXIO' }, name)
      }
    })
  })
})
