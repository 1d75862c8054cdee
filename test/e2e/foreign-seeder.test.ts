// The commands among other people's programs: an image that no server of ours offers.
import assert from 'node:assert/strict'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { aria2 } from '../lab/foreign/aria2.ts'
import { writeBulkContent } from '../lab/golden-content.ts'
import * as lab from '../lab/lab.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const SI = join(import.meta.dirname, '../../src/cli/si')
const DEADLINE_MS = 60_000

test('si-deploy completes from an aria2c seeder alone', { skip }, () =>
  lab.withScope(async (scope) => {
    const { directory } = scope
    const signal = AbortSignal.any([scope.signal, AbortSignal.timeout(DEADLINE_MS)])
    const source = join(directory, 'source')
    const target = join(directory, 'target')
    await writeBulkContent(source)
    await mkdir(target)
    const repository = join(directory, 'repository')
    const capture = ['getimage', '--root', source, '--name', 'web', '--repository', repository]
    const pki = await lab.makeCertificates(join(directory, 'pki'))
    const { stdout } = await run(SI, [...capture, ...pki], { signal })
    const image = stdout.trim().split(' ')[2] ?? ''
    const torrent = join(directory, 'web.torrent')
    await rename(join(image, 'image.torrent'), torrent)
    // Other programs keep the files of a torrent in a folder of its name, and pads as files of zeros.
    const metainfo = parseMetainfo(await readFile(torrent))
    const folder = join(directory, metainfo.name)
    await rename(image, folder)
    for (const { path, lengthBytes } of metainfo.files.filter(({ isPad }) => isPad)) {
      await mkdir(join(folder, ...path.slice(0, -1)), { recursive: true })
      await writeFile(join(folder, ...path), Buffer.alloc(lengthBytes))
    }
    const task = {
      torrentPath: torrent,
      directory,
      host: '127.0.0.1',
      encryption: 'plain',
    } as const
    const seeder = await aria2.seed(scope, task)
    const deploy = ['deploy', '--torrent', torrent, '--root', target, '--json', ...pki]
    const peer = ['--peer', seeder.address, '--host', '127.0.0.1']
    const events = (await run(SI, [...deploy, ...peer], { signal })).stdout.trim().split('\n')
    const report = JSON.parse(events.at(-1) ?? '') as {
      type: string
      fromServerBytes: number
      fromPeersBytes: number
      packBytes: number
    }
    assert.equal(report.type, 'report')
    assert.equal(report.fromServerBytes, 0)
    assert.ok(report.fromPeersBytes >= report.packBytes)
    const compare = ['-aHAXn', '--checksum', '--delete', '--numeric-ids', '--itemize-changes']
    const differences = await run('rsync', [...compare, `${source}/`, `${target}/`], { signal })
    assert.equal(differences.stdout, '')
  }),
)
