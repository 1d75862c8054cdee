// What a mount leaves to its next process: every change, whatever was cut off at the end of the one before.
import assert from 'node:assert/strict'
import { closeSync, fstatSync, ftruncateSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { memfdCreate } from '../../../src/host/host.ts'
import { MountState } from '../../../src/gridfs/client/mount-state.ts'
import { StateLog } from '../../../src/gridfs/client/state-log.ts'
import { type StateRecord } from '../../../src/gridfs/client/state-records.ts'
import { type Found, type WireAttributes } from '../../../src/gridfs/wire/operations.ts'

function withFile(use: (fd: number) => void): void {
  const fd = memfdCreate('test')
  try {
    use(fd)
  } finally {
    closeSync(fd)
  }
}

const attributes: WireAttributes = {
  ...{ inode: 1n, sizeBytes: 0, blocks: 0, mode: 0o100644, linkCount: 1, uid: 0, gid: 0 },
  ...{ accessedNs: 0n, modifiedNs: 0n, changedNs: 0n, device: 0, blockSizeBytes: 4096 },
}
const found = (name: string): Found => ({ reference: Buffer.from(name), attributes })

/** All that can be asked of a state. */
function contentOf(state: MountState) {
  const { nodes, files, folders, locked, failed, unsynced, verifier, session, agreed } = state
  return {
    ...{ nodes: [...nodes.records()], files: [...files], locked: [...locked], failed: [...failed] },
    ...{ folders: [...folders], session, agreed, verifier, unsynced: [...unsynced] },
  }
}

const record: fc.Arbitrary<StateRecord> = fc.oneof(
  fc.record({ node: fc.nat(), change: fc.bigInt(-9n, 9n) }).map((body) => {
    return { name: 'lookups' as const, body: { ...body } }
  }),
  fc.record({ node: fc.nat(), reference: fc.uint8Array({ maxLength: 160 }) }).map((body) => {
    return {
      name: 'node' as const,
      body: { ...body, reference: Buffer.from(body.reference) },
    }
  }),
  fc.nat().map((handle) => ({ name: 'written' as const, body: { handle } })),
)

describe('StateLog', () => {
  test('gives back what was flushed, also after it was shortened', () => {
    fc.assert(
      fc.property(fc.array(record), fc.array(record), (first, second) => {
        withFile((fd) => {
          const log = new StateLog(fd)
          log.read()
          log.shorten(first)
          for (const one of second) log.add(one)
          assert.deepEqual(new StateLog(fd).read(), first)
          log.flush()
          assert.deepEqual(new StateLog(fd).read(), [...first, ...second])
          log.shorten([...second, ...first])
          assert.deepEqual(new StateLog(fd).read(), [...second, ...first])
        })
      }),
      { numRuns: 50 },
    )
  })

  test('leaves out a record that was cut off at any byte, and goes on behind it', () => {
    const whole: StateRecord[] = [{ name: 'session', body: { id: Buffer.alloc(16, 1) } }]
    const last: StateRecord = { name: 'node', body: { node: 7, reference: Buffer.from('cut') } }
    for (let missing = 1; missing < 20; missing += 1) {
      withFile((fd) => {
        const log = new StateLog(fd)
        log.read()
        log.shorten(whole)
        log.add(last)
        log.flush()
        ftruncateSync(fd, fstatSync(fd).size - missing)
        const next = new StateLog(fd)
        assert.deepEqual(next.read(), whole)
        next.shorten(whole)
        next.add(last)
        next.flush()
        assert.deepEqual(new StateLog(fd).read(), [...whole, last])
      })
    }
  })
})

describe('MountState', () => {
  test('is the same for the next process', () => {
    withFile((fd) => {
      const state = new MountState(fd)
      const [kept, gone] = [state.nodes.found(found('kept')), state.nodes.found(found('gone'))]
      state.opened(state.nextHandle(), kept.id, 2)
      state.written(1)
      state.opened(state.nextHandle(), gone.id, 0)
      state.closed(2)
      state.openedFolder(state.nextHandle(), kept.id)
      const entry = { name: Buffer.from('name'), inode: 5n, type: 0o100000, found: undefined }
      state.read(3, [entry], 77n)
      state.lock(kept.id)
      state.nodes.forget([{ nodeId: gone.id, lookups: 1 }])
      state.agree({
        ...{ major: 7, minor: 40, maximumReadaheadBytes: 4096 },
        capabilities: new Set(['resend']),
      })
      state.fail(kept.id, 28)
      state.met(Buffer.alloc(32, 3))
      state.changed({ nodeId: kept.id, reference: kept.reference })
      const before = contentOf(state)
      const next = new MountState(fd)
      assert.deepEqual(contentOf(next), before)
      assert.equal(next.nextHandle(), 4)
      assert.equal(next.nodes.found(found('new')).id, gone.id + 1)
    })
  })

  test('stays short however often things come and go', () => {
    withFile((fd) => {
      const state = new MountState(fd)
      state.nodes.adopt(found('root'))
      for (let round = 0; round < 50_000; round += 1) {
        const { id } = state.nodes.found(found(`file ${round}`))
        state.flush()
        state.nodes.forget([{ nodeId: id, lookups: 1 }])
      }
      state.flush()
      assert.ok(fstatSync(fd).blocks * 512 < 4 * 2 ** 20)
      assert.equal(new MountState(fd).nodes.size, 1)
    })
  })
})
