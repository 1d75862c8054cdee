// The commands on a network without any tracker: they find each other, and other people's programs, by
// calling (BEP 14). Each machine is a network namespace with one cable and no default route.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { encodeMetainfo, parseMetainfo } from '../../src/torrent/torrent.ts'
import * as lab from '../lab/lab.ts'
import { noise, torrentOf } from './swarm-lab.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const SI = join(import.meta.dirname, '../../src/cli/si')
const DEADLINE_MS = 40_000
const LIMIT = { timeout: 60_000 }

interface Report {
  readonly type: string
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
}

/** Runs si-deploy on a host until it reports; it seeds on. */
async function deploy(
  scope: lab.Scope,
  host: lab.NetworkHost,
  args: readonly string[],
): Promise<{ readonly target: string; readonly report: Report }> {
  const target = join(scope.directory, host.name)
  await mkdir(target)
  const found = Promise.withResolvers<Report>()
  const program = lab.startOnHost(scope, host, {
    program: SI,
    args: [
      'deploy',
      '--root',
      target,
      '--pki',
      pkiOf(scope),
      '--seed-for',
      '5m',
      '--json',
      ...args,
    ],
    onLine: (line) => {
      const event = JSON.parse(line) as Report
      if (event.type === 'report') found.resolve(event)
    },
  })
  const ended = program.exited.then((status) => {
    throw new Error(`si-deploy ended with ${status}: ${program.lastWords()}`)
  })
  const report = await lab.within(Promise.race([found.promise, ended]), 'a report', DEADLINE_MS)
  return { target, report }
}

describe('local discovery', { skip }, () => {
  test('nodes deploy from si-seed and each other without a tracker', LIMIT, () =>
    lab.withScope(async (scope) => {
      const network = await lab.createNetwork(scope, { hosts: ['seeder', 'node01', 'node02'] })
      const { source, repository, torrent: path } = await captureImage(scope, network('seeder'))
      const torrent = ['--torrent', path]
      const seed = {
        program: SI,
        args: ['seed', 'web', '--repository', repository, '--pki', pkiOf(scope)],
      }
      const seeder = lab.startOnHost(scope, network('seeder'), seed)
      const first = await deploy(scope, network('node01'), torrent)
      assert.deepEqual(await lab.compareTrees(source, first.target, { excludes: [] }), [])
      // The first node alone must be enough for the second: it seeds on.
      await seeder.stop()
      const second = await deploy(scope, network('node02'), torrent)
      assert.ok(second.report.fromPeersBytes > 3_000_000)
      assert.deepEqual(await lab.compareTrees(source, second.target, { excludes: [] }), [])
    }),
  )

  test('a node finds si-seed where there are link-local addresses only', LIMIT, () =>
    lab.withScope(async (scope) => {
      const network = await lab.createNetwork(scope, { hosts: ['seeder', 'node01'] })
      for (const name of ['seeder', 'node01']) {
        const flush = ['-4', 'address', 'flush', 'dev', 'eth0']
        await lab.runOnHost(scope, network(name), { program: 'ip', args: flush })
      }
      const image = await captureImage(scope, network('seeder'))
      const pki = ['--pki', pkiOf(scope)]
      const seed = ['seed', 'web', '--repository', image.repository, '--host', '::', ...pki]
      lab.startOnHost(scope, network('seeder'), { program: SI, args: seed })
      const node = await deploy(scope, network('node01'), ['--torrent', image.torrent])
      assert.deepEqual(await lab.compareTrees(image.source, node.target, { excludes: [] }), [])
    }),
  )

  test('aria2c gets from si-seed what it calls for', LIMIT, () =>
    lab.withScope(async (scope) => {
      const network = await lab.createNetwork(scope, { hosts: ['seeder', 'aria2'] })
      const { folder, torrentPath } = await makeContent(scope)
      startSeed(scope, network('seeder'), { torrentPath, folder })
      const target = join(scope.directory, 'target')
      const aria2 = lab.runOnHost(scope, network('aria2'), {
        program: 'aria2c',
        args: [
          ...['--no-conf=true', '--enable-dht=false', '--enable-dht6=false', '--seed-time=0'],
          ...['--bt-enable-lpd=true', '--bt-lpd-interface=eth0', '--summary-interval=0'],
          ...['--console-log-level=warn', '--file-allocation=none', `--dir=${target}`, torrentPath],
        ],
      })
      await lab.within(aria2, 'aria2c', DEADLINE_MS)
      const [ours, theirs] = await Promise.all(
        [folder, join(target, 'payload')].map((path) => readFile(join(path, 'payload.bin'))),
      )
      assert.ok(ours?.equals(theirs ?? Buffer.alloc(0)))
    }),
  )

  test('nobody calls for a private torrent', LIMIT, () =>
    lab.withScope(async (scope) => {
      const network = await lab.createNetwork(scope, { hosts: ['seeder', 'listener'] })
      const calls = listenForCalls(scope, network('listener'))
      await calls.ready
      const secret = await makeContent(scope, { name: 'secret', isPrivate: true })
      const open = await makeContent(scope, { name: 'open' })
      const limits = { deadlineMs: DEADLINE_MS, signal: scope.signal }
      const first = startSeed(scope, network('seeder'), secret)
      await lab.waitFor('seeding', () => first.lastWords().includes('seeding 1'), limits)
      // Started later: when this one was called for, the other would have been, too.
      startSeed(scope, network('seeder'), open)
      const isCalled = () => calls.datagrams.some((text) => text.includes(open.infoHash))
      await lab.waitFor('a call', isCalled, limits)
      assert.ok(calls.datagrams.every((text) => !text.includes(secret.infoHash)))
    }),
  )
})

/** Where certificates and keys of the scope are. */
function pkiOf(scope: lab.Scope): string {
  return join(scope.directory, 'pki')
}

/** An image `web` of three megabytes, signed. */
async function captureImage(scope: lab.Scope, host: lab.NetworkHost) {
  const source = join(scope.directory, 'source')
  const repository = join(scope.directory, 'repository')
  await mkdir(source)
  await writeFile(join(source, 'bulk'), noise(3_000_000))
  const pki = await lab.makeCertificates(pkiOf(scope))
  const args = ['getimage', '--root', source, '--name', 'web', '--repository', repository, ...pki]
  await lab.runOnHost(scope, host, { program: SI, args })
  return { source, repository, torrent: join(repository, 'images/web/latest/image.torrent') }
}

async function makeContent(
  scope: lab.Scope,
  { name = 'payload', isPrivate = false } = {},
): Promise<{ folder: string; torrentPath: string; infoHash: string }> {
  const content = noise(2_000_000)
  const folder = join(scope.directory, name)
  await mkdir(folder)
  await writeFile(join(folder, 'payload.bin'), content)
  const torrentPath = join(scope.directory, `${name}.torrent`)
  const { infoBytes, infoHash } = parseMetainfo(torrentOf(content, 2 ** 18, { name, isPrivate }))
  await writeFile(torrentPath, encodeMetainfo({ infoBytes }))
  return { folder, torrentPath, infoHash }
}

function startSeed(
  scope: lab.Scope,
  host: lab.NetworkHost,
  { torrentPath, folder }: { readonly torrentPath: string; readonly folder: string },
): lab.LabProgram {
  const args = ['seed', '--torrent', torrentPath, '--data', folder, '--allow-unsigned']
  return lab.startOnHost(scope, host, { program: SI, args })
}

const LISTEN = `
const socket = require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true })
socket.on('message', (datagram) => console.log(JSON.stringify(String(datagram))))
socket.bind(6771, () => {
  socket.addMembership('239.192.152.143', process.argv[1])
  console.log('"ready"')
})`

/** Every datagram that is sent to the group, as text. */
function listenForCalls(scope: lab.Scope, host: lab.NetworkHost) {
  const datagrams: string[] = []
  const ready = Promise.withResolvers<void>()
  lab.startOnHost(scope, host, {
    program: process.execPath,
    args: ['--eval', LISTEN, host.address],
    onLine: (line) => {
      datagrams.push(JSON.parse(line) as string)
      ready.resolve()
    },
  })
  return { datagrams, ready: ready.promise }
}
