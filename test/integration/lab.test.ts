// The lab itself: what it makes is real, what it compares it sees, and nothing of it stays behind.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { run } from '../../src/host/host.ts'
import * as lab from '../lab/lab.ts'
import { findLeftovers } from '../lab/leftovers.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'

describe('the lab', { skip }, () => {
  test('startGoldenClient() gives a machine with its own name, disk and file systems', async () => {
    const id = await lab.withScope(async (scope) => {
      const network = await lab.createNetwork(scope, { hosts: ['golden01', 'server'] })
      const golden = await startGolden(scope, network)
      const ssh = (command: string) => runSsh(scope, network, golden, command)
      assert.equal(await ssh('uname -n'), 'golden01\n')
      const blocks = JSON.parse(await ssh('lsblk --json')) as { blockdevices: { name: string }[] }
      assert.deepEqual(
        blocks.blockdevices.map(({ name }) => `/dev/${name}`),
        [golden.disk.device],
      )
      const table = JSON.parse(await ssh(`sfdisk --json ${golden.disk.device}`)) as {
        partitiontable: { label: string; partitions: unknown[] }
      }
      assert.equal(table.partitiontable.label, 'gpt')
      assert.equal(table.partitiontable.partitions.length, 4)
      assert.match(await ssh('cat /proc/mounts'), /\/srv xfs /)
      return scope.id
    })
    assert.deepEqual(await findLeftovers(id), [])
  })

  test('compareWithGolden() finds no difference in a copy of the disk, and each one made', async () => {
    await lab.withScope(async (scope) => {
      const network = await lab.createNetwork(scope, { hosts: ['golden01', 'server'] })
      const golden = await startGolden(scope, network)
      await golden.powerOff()
      const same = await copyDisk(scope, golden, 'same')
      assert.deepEqual(await lab.compareWithGolden(scope, golden, { name: 'same', disk: same }), [])
      const changed = await copyDisk(scope, golden, 'changed', async (tree) => {
        const touch = ['-d', '2040-02-03 04:05:06.123456788 UTC', join(tree, 'opt/nasty/future')]
        await run('touch', touch)
        await run('setfattr', ['-x', 'user.binary', join(tree, 'opt/nasty/attributes')])
        await run('setcap', ['-r', join(tree, 'opt/nasty/capable')])
        await run('setfacl', ['-b', join(tree, 'opt/nasty/acl-default')])
        await rm(join(tree, 'opt/nasty/past'))
        await writeFile(join(tree, 'opt/nasty/empty.d/extra'), '')
        await copyFile(join(tree, 'opt/nasty/owner'), join(tree, 'opt/nasty/links/b/two'))
      })
      const copy = { name: 'changed', disk: changed }
      const differences = (await lab.compareWithGolden(scope, golden, copy)).join('\n')
      for (const path of ['future', 'attributes', 'capable', 'acl-default/', 'past']) {
        assert.match(differences, new RegExp(` opt/nasty/${path}$`, 'm'))
      }
      assert.match(differences, /deleting +opt\/nasty\/empty.d\/extra/)
      assert.match(differences, / opt\/nasty\/links\/b\/two/)
    })
  })

  test('createNetwork() shapes each cable to its rate', async () => {
    await lab.withScope(async (scope) => {
      const options = { hosts: ['web', 'browser'], bitsPerSecond: 80e6 }
      const network = await lab.createNetwork(scope, options)
      const program = process.execPath
      lab.startOnHost(scope, network('web'), { program, args: ['--eval', SERVE_10_MB] })
      const seconds = await lab.runOnHost(scope, network('browser'), {
        program,
        args: ['-e', FETCH_ALL],
      })
      // 10 MB at 10 MB/s, less what the bucket holds at once.
      assert.ok(Number(seconds) > 0.9, `took ${seconds} s`)
    })
  })

  test('withScope() frees its disks although a foreign program has a copy of the mounts', async (t) => {
    const id = await lab.withScope(async (scope) => {
      const disk = await lab.createLoopDisk(scope, { name: 'disk', sizeBytes: 64 * 2 ** 20 })
      await run('mkfs.ext4', ['-q', disk.device])
      await lab.mountDevice(scope, { device: disk.device, at: join(scope.directory, 'mounted') })
      const args = ['--mount', '--propagation=slave', 'sh', '-c', 'echo ready; exec sleep 1000']
      const foreign = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] })
      t.after(() => foreign.kill('SIGKILL'))
      await once(foreign.stdout, 'data')
      return scope.id
    })
    assert.deepEqual(await findLeftovers(id), [])
  })

  test('withScope() takes away what a killed run has left, and nothing of a living one', async (t) => {
    const killed = await startHolding(t)
    const living = await startHolding(t)
    killed.child.kill('SIGKILL')
    await killed.exited
    assert.notDeepEqual(await findLeftovers(killed.id), [])
    const before = await findLeftovers(living.id)
    await lab.withScope(() => Promise.resolve())
    assert.deepEqual(await findLeftovers(killed.id), [])
    assert.deepEqual(await findLeftovers(living.id), before)
    living.child.kill('SIGTERM')
    await living.exited
  })

  test('withScope() takes everything away when the process is interrupted', async (t) => {
    const { child, exited, id } = await startHolding(t)
    const kinds = (await findLeftovers(id)).map((line) => line.split(' ')[0])
    for (const kind of ['namespace', 'mount', 'loop', 'process', 'folder']) {
      assert.ok(kinds.includes(kind), `found no ${kind} while it ran`)
    }
    child.kill('SIGINT')
    child.kill('SIGINT') // npm passes on what the terminal has sent already
    assert.deepEqual(await exited, [130, null])
    assert.deepEqual(await findLeftovers(id), [])
  })
})

const SERVE_10_MB = `require('http').createServer((q, r) => r.end(Buffer.alloc(1e7))).listen(80)`
const FETCH_ALL = `(async () => {
  for (;;) {
    const startMs = performance.now()
    try {
      await (await fetch('http://web/')).arrayBuffer()
      return console.log((performance.now() - startMs) / 1000)
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
})()`

/** Another process with a scope that holds one of each thing. */
async function startHolding(t: TestContext) {
  const script = join(import.meta.dirname, '../lab/hold-for-interrupt.ts')
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const [first] = (await Promise.race([once(child.stdout, 'data'), exited])) as [Buffer | number]
  assert.ok(first instanceof Buffer, `ended with ${String(first)} before it was interrupted`)
  return { child, exited, id: first.toString().trim() }
}

function startGolden(scope: lab.Scope, network: lab.Network): Promise<lab.GoldenClient> {
  const hosts = { host: network('golden01'), from: network('server') }
  return lab.startGoldenClient(scope, { ...hosts, say: () => {} })
}

function runSsh(
  scope: lab.Scope,
  network: lab.Network,
  golden: lab.GoldenClient,
  command: string,
): Promise<string> {
  const options = golden.sshOptions.flatMap((option) => ['-o', option])
  const args = [...options, '-i', golden.identityFile, 'root@golden01', command]
  return lab.runOnHost(scope, network('server'), { program: 'ssh', args })
}

/** A disk with the golden disk's bytes, changed through a mount of its root file system. */
async function copyDisk(
  scope: lab.Scope,
  golden: lab.GoldenClient,
  name: string,
  change?: (tree: string) => Promise<void>,
): Promise<lab.LoopDisk> {
  await run('sync', ['--file-system', golden.tree, join(golden.tree, 'srv')])
  const disk = await lab.createLoopDisk(scope, { name, sizeBytes: golden.disk.sizeBytes })
  await run('dd', [`if=${golden.disk.device}`, `of=${disk.device}`, 'bs=1M', 'conv=sparse,fsync'])
  if (change === undefined) return disk
  await lab.showPartitions(disk)
  const tree = join(scope.directory, `${name}-open`)
  await lab.mountDevice(scope, { device: disk.partition(3), at: tree })
  await change(tree)
  await run('umount', [tree])
  return disk
}
