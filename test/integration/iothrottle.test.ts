// si-iothrottle on a real kernel: what it limits, from when, and that the command notices nothing else of it.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { findIoHierarchy } from '../../src/host/host.ts'
import { createLoopDisk } from '../lab/loop-disk.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'

const SI = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const MIB = 2 ** 20

function si(...args: readonly string[]) {
  return spawnSync(SI, ['iothrottle', ...args], { encoding: 'utf8', timeout: 60_000 })
}

const read = (device: string, mib: number) =>
  `dd if=${device} of=/dev/null iflag=direct bs=128K count=${mib * 8} 2>&1`

async function disk(scope: Scope): Promise<string> {
  return (await createLoopDisk(scope, { name: 'disk', sizeBytes: 256 * MIB })).device
}

/** The script, started with a limit; ended with the scope. */
function startLimited(scope: Scope, rate: string, script: string) {
  const child = spawn(SI, ['iothrottle', '-q', rate, 'sh', '-c', script], { stdio: 'pipe' })
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  scope.defer('the limited command', async () => {
    child.kill('SIGKILL')
    await exited
  })
  return { pid: child.pid ?? 0, child, exited }
}

interface Statistics {
  readonly processes: readonly number[]
  readonly counts: readonly { readonly readBytes: number }[]
  readonly limits: Readonly<Record<string, { readonly readBytesPerSecond: number | null }>>
}

function statistics(pid: number): Statistics | undefined {
  const { stdout } = si('--stat', '-p', `${pid}`, '--json')
  return stdout === '' ? undefined : (JSON.parse(stdout) as Statistics)
}

describe('si-iothrottle', { skip }, () => {
  test('limits a command and its children together, from their first byte', () =>
    withScope(async (scope) => {
      const device = await disk(scope)
      const script = `${read(device, 3)} & ${read(device, 3)} & wait`
      const startedMs = performance.now()
      const { status, stderr } = si('--device', device, '4MiB/s', 'sh', '-c', script)
      const seconds = (performance.now() - startedMs) / 1000
      assert.equal(status, 0)
      assert.ok(seconds >= (0.95 * 6) / 4, `6 MiB at 4 MiB/s took ${seconds} s`)
      assert.match(stderr, /reads and writes 4\.0 MiB\/s on loop\d+ \(cgroup v[12], \/sys/)
      assert.match(stderr, /not limited: network file systems, and /)
    }))

  test('is the command: its arguments, output, status, signals and limits of a shell', () =>
    withScope(async (scope) => {
      const shown = si(
        '-q',
        '1MiB/s',
        'printf',
        '%s|',
        "it's",
        'a  b',
        '$x',
        '--help',
        'line\nline',
      )
      assert.equal(shown.stdout, "it's|a  b|$x|--help|line\nline|")
      assert.equal(si('-q', '1MiB/s', 'sh', '-c', 'exit 7').status, 7)
      const { child, exited } = startLimited(scope, '1MiB/s', 'echo up; exec sleep 60')
      await once(child.stdout, 'data')
      child.kill('SIGTERM')
      assert.deepEqual(await exited, [null, 'SIGTERM'])
      const facts = 'grep -h -e SigIgn -e SigBlk /proc/self/status; ulimit -Sn'
      const plain = spawnSync('sh', ['-c', `ulimit -Sn 256; ${facts}`], { encoding: 'utf8' })
      const own = `ulimit -Sn 256; "$0" iothrottle -q 1MiB/s sh -c '${facts}'`
      const limited = spawnSync('sh', ['-c', own, SI], { encoding: 'utf8' })
      assert.equal(limited.stdout, plain.stdout)
      const waits = "grep -c '^flags:.*4...$' /proc/self/fdinfo/[012]; true"
      const flags = spawnSync('sh', ['-c', `"$0" iothrottle -q 1MiB/s sh -c "${waits}" | cat`, SI])
      assert.match(flags.stdout.toString(), /^(?:\S+:0\n){3}$/, 'a stream does not block')
    }))

  test('says what cannot be run as a shell does', () => {
    const missing = si('1MiB/s', 'no-such-command')
    assert.equal(missing.status, 127)
    assert.match(missing.stderr, /Cannot run no-such-command: not found/)
    assert.equal(si('1MiB/s', '/etc/passwd').status, 126)
  })

  test('limits a process that runs, changes that, and takes it back', () =>
    withScope(async (scope) => {
      const device = await disk(scope)
      const script = `while :; do ${read(device, 1)}; done`
      const child = spawn('sh', ['-c', script], { stdio: 'ignore' })
      const exited = once(child, 'exit')
      scope.defer('the reader', async () => {
        child.kill('SIGKILL')
        await exited
      })
      const pid = child.pid ?? 0
      assert.equal(statistics(pid), undefined)
      const attach = (rate: string) => assert.equal(si('-q', '-p', `${pid}`, rate).status, 0)
      attach('2MiB/s')
      const bytes = () => statistics(pid)?.counts.reduce((sum, one) => sum + one.readBytes, 0) ?? 0
      const [before, startedMs] = [bytes(), performance.now()]
      const wait = { deadlineMs: 30_000, signal: scope.signal }
      await waitFor('four MiB', async () => bytes() >= before + 4 * MIB, wait)
      const slow = (bytes() - before) / (performance.now() - startedMs)
      attach('4096') // sectors of 512 bytes: 2 MiB/s again
      assert.deepEqual(
        [
          ...new Set(
            Object.values(statistics(pid)?.limits ?? {}).map((one) => one.readBytesPerSecond),
          ),
        ],
        [2 * MIB],
      )
      attach('0')
      assert.deepEqual(statistics(pid)?.limits, {})
      const [then, freeMs] = [bytes(), performance.now()]
      await waitFor('bytes without a limit', async () => bytes() > then, wait)
      const fast = (bytes() - then) / (performance.now() - freeMs)
      assert.ok(slow <= 1.1 * 2 * (MIB / 1000), `${slow} bytes/ms`)
      assert.ok(fast > 4 * slow, `${fast} bytes/ms without a limit, ${slow} with one`)
    }))

  test('leaves nothing behind when the last of its processes has ended', () =>
    withScope(async (scope) => {
      const { pid, child, exited } = startLimited(scope, '1MiB/s', 'sleep 2 & echo up')
      await once(child.stdout, 'data')
      await exited
      const { mountPoint } = findIoHierarchy()
      const directory = join(mountPoint, `swarmimager/iothrottle-${pid}`)
      assert.ok(existsSync(directory), 'a child of the command is limited on')
      await waitFor('the end of the group', async () => !existsSync(directory), {
        ...{ deadlineMs: 20_000, signal: scope.signal },
      })
    }))

  test('names cause and remedy where nothing can be limited', () => {
    const inside = (script: string) => {
      const all = `mount --make-rprivate / && ${script} && "$0" iothrottle 1MiB/s true`
      return spawnSync('unshare', ['--mount', 'sh', '-c', all, SI], { encoding: 'utf8' }).stderr
    }
    const { mountPoint } = findIoHierarchy()
    const frozen = inside(`mount -o remount,bind,ro ${mountPoint}`)
    assert.match(frozen, /Cannot make the cgroup .*EROFS[\s\S]*hint: cgroups are read-only here/)
    assert.match(
      inside(`umount -l ${mountPoint}`),
      /no cgroup hierarchy has the controller[\s\S]*hint: Mount cgroup2/,
    )
    assert.match(si('-p', '4194305', '1MiB/s').stderr, /There is no process 4194305/)
    assert.match(
      si('--device', '/dev/shm', '1MiB/s', 'true').stderr,
      /Cannot limit I\/O of \/dev\/shm: no block device is behind it/,
    )
  })
})
