// What every PieceStore must do; each implementation runs through this.
import assert from 'node:assert/strict'
import { readSync } from 'node:fs'
import { test } from 'node:test'
import { pieceSizeBytes, type Metainfo } from '../../src/torrent/torrent.ts'
import { type FileSpan, type PieceStore } from '../../src/swarm/swarm.ts'

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: PieceStore
  readonly metainfo: Metainfo
  /** What the store holds: all bytes of the torrent. */
  readonly content: Buffer
}

/** Declares the tests of a store that can serve the whole torrent. */
export function describePieceStore(name: string, open: () => Promise<StoreUnderTest>): void {
  test(`${name} reads every piece whole`, async () => {
    await using subject = await open()
    const { store, metainfo, content } = subject
    for (let index = 0; index < metainfo.pieceCount; index++) {
      const bytes = new Uint8Array(pieceSizeBytes(metainfo, index))
      await store.read(index, 0, bytes)
      const start = index * metainfo.pieceLengthBytes
      assert.ok(content.subarray(start, start + bytes.length).equals(bytes), `piece ${index}`)
    }
  })

  test(`${name} reads parts, many at once, into shared memory too`, async () => {
    await using subject = await open()
    const { store, metainfo, content } = subject
    const reads = Array.from({ length: 40 }, async (_, step) => {
      const index = step % metainfo.pieceCount
      const size = pieceSizeBytes(metainfo, index)
      const offset = Math.floor((size * (step % 7)) / 8)
      const into = new Uint8Array(new SharedArrayBuffer(size - offset))
      await store.read(index, offset, into)
      const start = index * metainfo.pieceLengthBytes + offset
      assert.ok(content.subarray(start, start + into.length).equals(into), `piece ${index}`)
    })
    await Promise.all(reads)
  })

  test(`${name} tells places that hold what it reads, or none`, async () => {
    await using subject = await open()
    const { store, metainfo, content } = subject
    for (let index = 0; index < metainfo.pieceCount; index++) {
      const size = pieceSizeBytes(metainfo, index)
      for (const [offset, end] of [
        [0, size],
        [size >> 1, size],
        [1, size - 1],
      ] as const) {
        const spans = await store.locate(index, offset, end - offset)
        const start = index * metainfo.pieceLengthBytes
        const expected = content.subarray(start + offset, start + end)
        if (spans !== undefined) assert.ok(contentOf(spans).equals(expected), `piece ${index}`)
      }
    }
  })

  test(`${name} can be closed twice and refuses to read afterwards`, async () => {
    await using subject = await open()
    await subject.store.close()
    await subject.store.close()
    await assert.rejects(subject.store.read(0, 0, new Uint8Array(1)))
    const place = await subject.store.locate(0, 0, 1).catch(() => undefined)
    assert.equal(place, undefined)
  })
}

/** What lies in these places. */
export function contentOf(spans: readonly FileSpan[]): Buffer {
  return Buffer.concat(
    spans.map(({ fd, positionBytes, lengthBytes }) => {
      const bytes = Buffer.alloc(lengthBytes)
      assert.equal(readSync(fd, bytes, 0, lengthBytes, positionBytes), lengthBytes)
      return bytes
    }),
  )
}
