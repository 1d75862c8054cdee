// si-gridfs status: what people see of a mount while it works, while its server is away, and when it is gone.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type MountStatus } from '../../src/gridfs/gridfs.ts'
import { run } from '../../src/host/host.ts'
import { createGridSite } from '../lab/grid-site.ts'
import { waitFor, withScope } from '../lab/scope.ts'

const SI = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'

const ask = (...args: readonly string[]) =>
  spawnSync(SI, ['gridfs', 'status', ...args], { encoding: 'utf8', timeout: 30_000 })

/** Of one mount; undefined: there is none. */
function statusOf(folder: string): MountStatus | undefined {
  const lines = ask('--json').stdout.split('\n').filter(Boolean)
  return lines
    .map((line) => JSON.parse(line) as MountStatus)
    .find(({ directory }) => directory === folder)
}

test('si-gridfs status shows servers, bytes and latency of mounts', { skip }, () =>
  withScope(async (scope) => {
    const site = await createGridSite(scope)
    const folder = await site.mount('mounted')
    const wait = { deadlineMs: 20_000, signal: scope.signal }
    await writeFile(join(folder, 'file'), Buffer.alloc(100_000))
    await readFile(join(site.directory, 'file'))
    const before = statusOf(folder)
    assert.ok(before !== undefined)
    assert.equal(before.writtenBytes, 100_000)
    assert.ok(before.calls > 0 && (before.medianMs ?? 0) > 0)
    assert.deepEqual(
      before.servers.map(({ isUp, losses }) => ({ isUp, losses })),
      [{ isUp: true, losses: 0 }],
    )
    assert.match(
      ask(folder).stdout,
      /mounted is 127\.0\.0\.1:\/data\n +server +127\.0\.0\.1:\d+:\/data: connected for /,
    )
    await site.server().stop('SIGKILL')
    const isUp = () => statusOf(folder)?.servers[0]?.isUp
    await waitFor('a word that the server is away', async () => isUp() === false, wait)
    assert.match(ask(folder).stdout, /AWAY for .*, lost once/)
    await site.restart()
    await waitFor('its return', async () => isUp() === true, wait)
    await run('umount', [folder])
    await waitFor('its end', async () => statusOf(folder) === undefined, wait)
    const none = ask(folder)
    assert.equal(none.status, 2)
    assert.match(none.stderr, /No grid file system is mounted at/)
  }),
)
