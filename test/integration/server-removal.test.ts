// Images that are removed or renamed while the image server offers them: it stops, says so, and whoever is
// in the middle of a deployment goes on with the other peers.
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy } from '../../src/deploy/deploy.ts'
import { readManifestHeader } from '../../src/image/image.ts'
import {
  moveImage,
  parseImageName,
  type ImageReference,
  type Repository,
} from '../../src/repository/repository.ts'
import { startSeeder, startServer, type RunningServer } from '../../src/server/server.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { UNSIGNED } from '../lab/certificates.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, type SampleImage } from './deploy-sample.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const MIB = 2 ** 20
const CONTENT_BYTES = 12 * MIB
/** So that a deployment takes three seconds at least: the image goes when a sixth is there. */
const BYTES_PER_SECOND = 4 * MIB
const GONE_AT_BYTES = CONTENT_BYTES / 6
const DEADLINE_MS = 60_000

const LEAVING: readonly {
  readonly what: string
  readonly isSeededAs: readonly string[]
  leave(image: ImageReference, repository: Repository, signal: AbortSignal): Promise<unknown>
}[] = [
  {
    ...{ what: 'is removed', isSeededAs: [] },
    leave: (image, repository) => repository.remove(image),
  },
  {
    ...{ what: 'gets another name', isSeededAs: ['shop/1'] },
    leave: (image, repository, signal) => {
      const { version } = image
      return moveImage(image, repository, {
        repository,
        name: parseImageName('shop'),
        version,
        signal,
      })
    },
  },
]

describe('images that leave while they are seeded', { skip }, () => {
  for (const { what, isSeededAs, leave } of LEAVING) {
    test(`a deployment goes on from other peers when its image ${what}`, async () => {
      await withScope(async (scope) => {
        const { repository, image, tree } = await makeImage(scope)
        const sample = await describeImage(image)
        const peer = await seedCopy(scope, image)
        const { server, said } = await serve(scope, repository)
        await waitFor('seeding', () => server.images().length === 1, { deadlineMs: DEADLINE_MS })
        const half = Promise.withResolvers<void>()
        const progress = {
          ...silentProgress,
          update: ({ doneBytes }: { readonly doneBytes: number }) => {
            if (doneBytes >= GONE_AT_BYTES) half.resolve()
          },
        }
        const directory = join(scope.directory, 'target')
        await mkdir(directory)
        const peers = [`127.0.0.1:${server.peerPort}`, `127.0.0.1:${peer.peerPort}`]
        const limits = { peers, downloadBytesPerSecond: BYTES_PER_SECOND }
        const options = { ...deployOptions(sample, { type: 'root', directory }, limits) }
        // The folder of the torrent goes as well: a node has got the file beforehand.
        const torrent = join(scope.directory, 'img.torrent')
        await cp(sample.torrentPath, torrent)
        const io = { progress, confirm: () => Promise.resolve() }
        let isOver = false
        const deploying = deploy({ ...options, torrent }, io, scope.signal).finally(() => {
          isOver = true
        })
        await Promise.race([half.promise, deploying])
        await leave(image, repository, scope.signal)
        const names = () => server.images().map(({ name, version }) => `${name}/${version}`)
        const isRight = () => names().join() === isSeededAs.join()
        await waitFor('the end of seeding', isRight, { deadlineMs: DEADLINE_MS })
        assert.equal(isOver, false, 'the deployment was over before its image went')
        const report = await deploying
        assert.ok(report.fromPeersBytes > 0)
        assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
        assert.ok(said.includes('web/1: no longer seeding'), said.join('\n'))
      })
    })
  }
})

async function makeImage(scope: Scope) {
  const repository = await makeRepository(scope)
  const noise = Buffer.alloc(CONTENT_BYTES)
  for (let at = 0; at < noise.length; at += 65_536) {
    crypto.getRandomValues(noise.subarray(at, at + 65_536))
  }
  const tree = await makeTree(scope, { noise, 'etc/name': 'web' })
  const name = { name: 'web', version: '1', pieceLengthBytes: 256 * 1024 }
  const { image } = await captureTree(repository, tree, name)
  return { repository, image, tree }
}

async function describeImage(image: ImageReference): Promise<SampleImage> {
  const { directory, torrentPath, manifestPath } = image
  const metainfo = parseMetainfo(await readFile(torrentPath))
  const header = await readManifestHeader(createReadStream(manifestPath))
  return { directory, torrentPath, metainfo, header }
}

/** Another node that has the image. */
async function seedCopy(scope: Scope, image: ImageReference) {
  const directory = await mkdtemp(join(scope.directory, 'copy-'))
  await cp(image.directory, directory, { recursive: true })
  const sources = [{ torrentPath: join(directory, 'image.torrent'), directory }]
  const place = { host: '127.0.0.1', peerPort: 0, trackers: [], trust: UNSIGNED }
  const log = { info() {}, warn() {} }
  const peer = await startSeeder({ sources, ...place, log }, scope.signal)
  scope.defer('the other peer', () => peer.close())
  return peer
}

async function serve(
  scope: Scope,
  repository: Repository,
): Promise<{ readonly server: RunningServer; readonly said: string[] }> {
  const said: string[] = []
  const say = (fields: object, message: string) => {
    const { image, version } = fields as { readonly image?: string; readonly version?: string }
    said.push(`${image ?? ''}/${version ?? ''}: ${message}`)
  }
  const place = { host: '127.0.0.1', httpPort: 0, peerPort: 0, log: { info: say, warn: say } }
  const server = await startServer({ ...place, repository }, scope.signal)
  scope.defer('the server', () => server.close())
  return { server, said }
}
