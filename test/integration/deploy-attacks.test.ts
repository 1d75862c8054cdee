// Torrents and peers that do not belong together: nothing may reach the target.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { SiError, silentProgress } from '../../src/core/core.ts'
import { deploy } from '../../src/deploy/deploy.ts'
import { encodeInfo, encodeMetainfo, parseMetainfo } from '../../src/torrent/torrent.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample, type SampleImage } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
/** Long enough for a connection, a handshake and the few pieces of a small image. */
const PATIENCE_MS = 4000

async function makeImage(scope: Scope, name: string): Promise<SampleImage> {
  const tree = join(scope.directory, `${name}-tree`)
  await mkdir(tree)
  await writeFile(join(tree, 'file'), name.repeat(10_000))
  return makeSampleImage({ tree, directory: join(scope.directory, name) })
}

/** Deploys `wanted` from a seeder of `served` until patience ends; the target must stay empty. */
async function assertNothingArrives(
  scope: Scope,
  wanted: SampleImage,
  served: SampleImage,
): Promise<void> {
  const seeder = await seedSample(served)
  scope.defer('seeder', () => seeder.close())
  const directory = join(scope.directory, 'target')
  await mkdir(directory)
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new SiError('ERR_SI_ABORTED', 'over')), PATIENCE_MS)
  const options = deployOptions(wanted, { type: 'root', directory }, { peers: [seeder.address] })
  const io = { progress: silentProgress, confirm: () => Promise.resolve() }
  await assert.rejects(deploy(options, io, stop.signal), { code: 'ERR_SI_ABORTED' })
  clearTimeout(timer)
  assert.deepEqual(await readdir(directory), [])
}

test('deploy() takes nothing from a peer of another info hash', { skip }, async () => {
  await withScope(async (scope) => {
    const wanted = await makeImage(scope, 'wanted')
    await assertNothingArrives(scope, wanted, await makeImage(scope, 'other'))
  })
})

test('deploy() takes nothing whose pieces the torrent does not vouch for', { skip }, async () => {
  await withScope(async (scope) => {
    const image = await makeImage(scope, 'image')
    const { name, pieceLengthBytes, pieceHashes, files } = image.metainfo
    const forged = Buffer.from(pieceHashes)
    forged.fill(0x66, 0, 20)
    const infoBytes = encodeInfo({ name, pieceLengthBytes, pieceHashes: forged, files })
    await writeFile(image.torrentPath, encodeMetainfo({ infoBytes }))
    const metainfo = parseMetainfo(await readFile(image.torrentPath))
    assert.notEqual(metainfo.infoHash, image.metainfo.infoHash)
    const changed = { ...image, metainfo }
    await assertNothingArrives(scope, changed, changed)
  })
})
