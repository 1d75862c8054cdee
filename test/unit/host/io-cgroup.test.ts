// Files of cgroup v1 and v2 as the kernel writes them, and a kernel that does not do what it is told.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  chooseIoHierarchy,
  parseIoMax,
  parseIoStat,
  parseServiced,
} from '../../../src/host/io-cgroup-text.ts'
import { NO_IO_LIMITS, openIoGroup } from '../../../src/host/host.ts'

const HYBRID = `30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
36 24 0:32 / /sys/fs/cgroup/blk\\040io rw,nosuid shared:17 - cgroup cgroup rw,blkio
37 24 0:33 / /sys/fs/cgroup/cpu rw shared:18 - cgroup cgroup rw,cpu
`

test('chooseIoHierarchy() takes v2 where it has the controller, v1 otherwise', () => {
  assert.deepEqual(
    chooseIoHierarchy(HYBRID, () => true),
    {
      kind: 'v2',
      mountPoint: '/sys/fs/cgroup/unified',
    },
  )
  assert.deepEqual(
    chooseIoHierarchy(HYBRID, () => false),
    {
      kind: 'v1',
      mountPoint: '/sys/fs/cgroup/blk io',
    },
  )
  assert.equal(
    chooseIoHierarchy('', () => true),
    undefined,
  )
})

test('parseIoMax() reads limits, max for none', () => {
  const text = '8:16 rbps=2097152 wbps=max riops=max wiops=120\n'
  const limits = { readBytesPerSecond: 2097152, writesPerSecond: 120 }
  assert.deepEqual(parseIoMax(text), new Map([['8:16', { ...NO_IO_LIMITS, ...limits }]]))
  assert.deepEqual(parseIoMax(''), new Map())
})

test('parseIoStat() and parseServiced() count bytes and requests by device', () => {
  const counts = [{ device: '8:0', readBytes: 4096, writtenBytes: 512, reads: 1, writes: 2 }]
  assert.deepEqual(
    parseIoStat('8:0 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n'),
    counts,
  )
  const bytes = '8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:0 Total 4608\nTotal 4608\n'
  assert.deepEqual(parseServiced(bytes, '8:0 Read 1\n8:0 Write 2\nTotal 3\n'), counts)
  assert.deepEqual(parseServiced('Total 0\n', 'Total 0\n'), [])
})

test('setLimits() finds out that a limit is not kept', async (t) => {
  const mountPoint = await mkdtemp(join(tmpdir(), 'io-cgroup-'))
  t.after(() => rm(mountPoint, { recursive: true }))
  await mkdir(join(mountPoint, 'group'))
  await symlink('/dev/null', join(mountPoint, 'group/io.max')) // takes everything, keeps nothing
  const group = openIoGroup({ kind: 'v2', mountPoint }, 'group')
  const limits = { ...NO_IO_LIMITS, readBytesPerSecond: 1024 }
  await assert.rejects(group.setLimits('8:0', limits), {
    code: 'ERR_SI_THROTTLE',
    message: 'The kernel does not keep the limit on device 8:0',
  })
  await writeFile(join(mountPoint, 'group/cgroup.procs'), '')
  assert.deepEqual(await group.processes(), [])
})
