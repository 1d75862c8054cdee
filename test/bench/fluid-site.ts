// The place of a fluid run: an image of noise in a repository, a shaped network, and memory to deploy
// into, so that neither disk nor compression decides how long it takes.
import { createCipheriv } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError } from '../../src/core/core.ts'
import { readMemoryAvailable, run } from '../../src/host/host.ts'
import * as lab from '../lab/lab.ts'
import { SI } from './golden-tree.ts'

export interface FluidImage {
  readonly packBytes: number
  readonly pieceCount: number
}

export interface FluidSite {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly repository: string
  readonly image: FluidImage
  /** On a tmpfs. */
  readonly directory: string
}

export interface FluidSiteOptions {
  readonly nodeNames: readonly string[]
  readonly bitsPerSecond: number
  readonly sizeBytes: number
  /** As the command line takes it, such as `1MiB`. */
  readonly pieceLength: string
}

const FILES = 16
const WRITE_BYTES = 2 ** 20
/** What a node's process takes besides tree and kept pieces. */
const PROCESS_BYTES = 200 * 2 ** 20

export async function makeFluidSite(scope: lab.Scope, site: FluidSiteOptions): Promise<FluidSite> {
  const { nodeNames, bitsPerSecond, sizeBytes } = site
  // A node keeps the tree and the pieces; the source, the repository and some air come on top.
  const neededBytes = (nodeNames.length + 2) * (2 * sizeBytes + PROCESS_BYTES)
  const availableBytes = await readMemoryAvailable()
  if (availableBytes < neededBytes) {
    const [needed, available] = [neededBytes, availableBytes].map((b) => (b / 2 ** 30).toFixed(1))
    const what = `${nodeNames.length} nodes need ${needed} GiB of memory, ${available} GiB are free`
    throw new SiError('ERR_SI_USAGE', `Cannot run the swarm: ${what}`, {
      hint: 'Take a smaller --size or fewer --nodes',
    })
  }
  const directory = join(scope.directory, 'memory')
  const options = { type: 'tmpfs', options: ['size=100%'] }
  await lab.mountDevice(scope, { device: 'memory', at: directory, ...options })
  const source = join(directory, 'source')
  await writeNoise(source, sizeBytes)
  const repository = join(directory, 'repository')
  const capture = ['getimage', '--root', source, '--name', 'noise', '--repository', repository]
  const pieces = ['--piece-length', site.pieceLength, '--json']
  const { stdout } = await run(SI, [...capture, ...pieces], { signal: scope.signal })
  const { packBytes, pieceCount } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as FluidImage
  const hosts = ['server', ...nodeNames]
  const network = await lab.createNetwork(scope, { hosts, bitsPerSecond })
  return { scope, network, repository, image: { packBytes, pieceCount }, directory }
}

/** Files that do not compress; the same bytes every time. */
async function writeNoise(directory: string, sizeBytes: number): Promise<void> {
  await mkdir(directory)
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  const zeros = Buffer.alloc(WRITE_BYTES)
  for (let index = 0; index < FILES; index++) {
    await using file = await open(join(directory, `noise-${index}`), 'w')
    for (let left = Math.ceil(sizeBytes / FILES); left > 0; left -= WRITE_BYTES) {
      await file.writeFile(cipher.update(zeros.subarray(0, Math.min(left, WRITE_BYTES))))
    }
  }
}
