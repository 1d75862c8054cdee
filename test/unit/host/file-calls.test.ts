// System calls on files that Node lacks.
import assert from 'node:assert/strict'
import { closeSync, fstatSync } from 'node:fs'
import { test } from 'node:test'
import { fallocateAsync, memfdCreate, openIfThere } from '../../../src/host/host.ts'

test('fallocateAsync() lengthens a file, and rejects with the errno of the thread that did the call', async () => {
  const fd = memfdCreate('si-test')
  try {
    await fallocateAsync(fd, 0, { offset: 0, lengthBytes: 10_000 })
    assert.equal(fstatSync(fd).size, 10_000)
    const wrong = [
      [fd, 0, -5, 'EINVAL'],
      [-1, 0, 0, 'EBADF'],
      [fd, 0x80, 0, 'ENOTSUP'],
    ] as const
    await Promise.all(
      wrong.map(([file, mode, offset, code]) =>
        assert.rejects(fallocateAsync(file, mode, { offset, lengthBytes: 1 }), { code }),
      ),
    )
  } finally {
    closeSync(fd)
  }
})

test('openIfThere() tells what is not there from what cannot be opened', () => {
  assert.equal(openIfThere('/proc/self/nothing-of-that-name', 0), undefined)
  assert.throws(() => openIfThere('/proc/self/stat/below', 0), { code: 'ENOTDIR' })
})
