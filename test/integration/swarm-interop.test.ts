// Other people's programs in our swarm, on loopback only: they download from us and seed to us.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { run, start, type StartedProgram } from '../../src/host/host.ts'
import { encodeMetainfo } from '../../src/torrent/torrent.ts'
import { createLab, startTracker, until, within, type Lab } from './swarm-lab.ts'

const LIMIT = { timeout: 40_000 }

async function has(context: TestContext, program: string): Promise<boolean> {
  try {
    await run('which', [program])
    return true
  } catch (error) {
    if (process.env['CI'] === 'true') throw error
    context.skip(`${program} is not installed`)
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function stop(program: StartedProgram): Promise<void> {
  program.process.kill('SIGKILL')
  await program.exited
}

/** The lab's torrent with a tracker in it, as a file. */
async function torrentWith(lab: Lab, trackerUrl: string): Promise<string> {
  const path = join(lab.directory, 'tracked.torrent')
  const { infoBytes } = lab.metainfo
  await writeFile(path, encodeMetainfo({ infoBytes, trackers: [[trackerUrl]] }))
  return path
}

const ARIA2_QUIET = [
  '--enable-dht=false',
  '--enable-dht6=false',
  '--bt-enable-lpd=false',
  '--enable-peer-exchange=false',
  '--console-log-level=warn',
  '--summary-interval=0',
  '--file-allocation=none',
  '--no-conf=true',
]

test('aria2c downloads from our seeder', LIMIT, async (context) => {
  if (!(await has(context, 'aria2c'))) return
  await using lab = await createLab({ sizeBytes: 12_345_678, pieceLengthBytes: 2 ** 18 })
  await using tracker = await startTracker()
  await using seeder = await lab.seed({ trackers: [[tracker.url]] })
  await until(() => seeder.torrent.stats().trackerStatus.includes('announced'), 'announce')
  const target = join(lab.directory, 'aria2')
  await run('aria2c', [
    ...ARIA2_QUIET,
    `--dir=${target}`,
    '--seed-time=0',
    await torrentWith(lab, tracker.url),
  ])
  assert.ok((await readFile(join(target, 'payload', 'payload.bin'))).equals(lab.content))
  assert.equal(seeder.torrent.stats().uploadedBytes >= lab.content.length, true)
})

test('transmission-cli downloads from our seeder', LIMIT, async (context) => {
  if (!(await has(context, 'transmission-cli'))) return
  await using lab = await createLab({ sizeBytes: 5_000_000, pieceLengthBytes: 2 ** 18 })
  // Transmission connects to no loopback address, but takes connections from there.
  const port = await freePort()
  await using seeder = await lab.seed({ peers: [`127.0.0.1:${port}`] })
  const target = join(lab.directory, 'transmission')
  await mkdir(target)
  const configuration = join(lab.directory, 'transmission-config')
  await mkdir(configuration)
  const settings = { 'dht-enabled': false, 'lpd-enabled': false, 'pex-enabled': false }
  await writeFile(join(configuration, 'settings.json'), JSON.stringify(settings))
  const args = ['-w', target, '-g', configuration, '-M', '-p', String(port), '-et']
  const program = start('transmission-cli', [...args, join(lab.directory, 'payload.torrent')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  try {
    const path = join(target, 'payload', 'payload.bin')
    const isThere = async () => {
      const content = await readFile(path).catch(() => Buffer.alloc(0))
      return content.equals(lab.content)
    }
    await until(isThere, 'the whole file', 25_000)
    assert.ok(seeder.torrent.stats().uploadedBytes >= lab.content.length)
  } finally {
    await stop(program)
  }
})

test('our node downloads from aria2c alone', LIMIT, async (context) => {
  if (!(await has(context, 'aria2c'))) return
  await using lab = await createLab({ sizeBytes: 12_345_678, pieceLengthBytes: 2 ** 18 })
  const port = await freePort()
  const program = start(
    'aria2c',
    [
      ...ARIA2_QUIET,
      `--dir=${lab.directory}`,
      `--listen-port=${port}`,
      '--check-integrity=true',
      '--seed-ratio=0.0',
      '--bt-require-crypto=false',
      join(lab.directory, 'payload.torrent'),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  try {
    await using getter = await lab.get({ peers: [`127.0.0.1:${port}`] })
    let client: string | undefined
    getter.torrent.onPiece(() => (client ??= getter.torrent.stats().peers[0]?.client))
    await within(getter.done, 'download', 25_000)
    assert.ok((await getter.file()).equals(lab.content))
    assert.match(client ?? '', /aria2/i)
    assert.equal(getter.torrent.stats().fromServerBytes, 0)
  } finally {
    await stop(program)
  }
})
