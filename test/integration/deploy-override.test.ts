// Overrides laid over a deployed tree through the swarm: what they replace, what they leave, and where links lead.
import assert from 'node:assert/strict'
import { chmod, link, lstat, mkdir, readdir, readFile, readlink } from 'node:fs/promises'
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress, type Progress, type ProgressUpdate } from '../../src/core/core.ts'
import { deploy, type DeployPlan } from '../../src/deploy/deploy.ts'
import { loadSigner, loadTrust, type Trust } from '../../src/pki/pki.ts'
import { makeCertificates, UNSIGNED } from '../lab/certificates.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import {
  deployOptions,
  makeSampleImage,
  seedSample,
  type SampleImage,
  type SampleOptions,
} from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'

type Content = Readonly<Record<string, string>>

/** A value `->X` is a symlink, `=X` a hard link, `/` a directory, else the content of a file. */
async function makeImage(
  scope: Scope,
  name: string,
  { content, sign }: { readonly content: Content; readonly sign: SampleOptions['sign'] },
): Promise<SampleImage> {
  const tree = join(scope.directory, name)
  await mkdir(tree)
  for (const [path, value] of Object.entries(content)) {
    const where = join(tree, path)
    await mkdir(join(where, '..'), { recursive: true })
    if (value === '/') await mkdir(where, { recursive: true })
    else if (value.startsWith('->')) await symlink(value.slice(2), where)
    else if (value.startsWith('=')) await link(join(tree, value.slice(1)), where)
    else await writeFile(where, value)
  }
  await chmod(tree, 0o700)
  const directory = join(scope.directory, `${name}-image`)
  return makeSampleImage({ tree, directory, ...(sign === undefined ? {} : { sign }) })
}

interface RunOptions {
  readonly progress?: Progress
  readonly signal?: AbortSignal
  /** Another directory than the target. */
  readonly into?: string
}

/** Deploys the first tree with the others over it. */
async function lay(
  scope: Scope,
  contents: readonly Content[],
  how: {
    readonly target?: string
    readonly sign?: (index: number) => SampleOptions['sign']
    readonly trust?: Trust
  } = {},
) {
  const { target = 'target', sign, trust = UNSIGNED } = how
  const images: SampleImage[] = []
  const peers: string[] = []
  for (const [index, content] of contents.entries()) {
    const signing = { content, sign: sign?.(index) }
    const image = await makeImage(scope, `${target}-${index}`, signing)
    const seeder = await seedSample(image)
    scope.defer('seeder', () => seeder.close())
    images.push(image)
    peers.push(seeder.address)
  }
  const [image, ...over] = images
  assert.ok(image !== undefined)
  const directory = join(scope.directory, target)
  await mkdir(directory, { recursive: true })
  const overrides = over.map(({ torrentPath }) => ({ torrent: torrentPath }))
  const options = deployOptions(image, { type: 'root', directory }, { peers, overrides, trust })
  const plans: DeployPlan[] = []
  const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
  const run = (how: RunOptions = {}) => {
    const { progress = silentProgress, signal = scope.signal, into = directory } = how
    const where = { type: 'root', directory: into } as const
    return deploy({ ...options, target: where }, { progress, confirm }, signal)
  }
  return { directory, run, plans, read: (path: string) => readFile(join(directory, path), 'utf8') }
}

const BASE: Content = {
  'etc/motd': 'base',
  'etc/issue': 'base issue, which is longer than that of the override',
  'etc/twin': '=etc/motd',
  'etc/keep/file': 'kept',
  'usr/lib/a': 'a',
  lib: '->usr/lib',
  'opt/tree/deep/x': 'gone',
  'opt/file': 'a file',
  'opt/dangling': '->/nowhere',
}

test(
  'deploy() lays overrides over the image: files, links and types change, nothing else goes',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const { directory, run, plans, read } = await lay(scope, [
        BASE,
        {
          'etc/motd': 'all',
          'etc/issue': 'short',
          'lib/systemd/unit': 'unit',
          'opt/tree': 'now a file',
          'opt/file/inside': 'now a directory',
          'opt/dangling/x': 'was a link',
          'etc/link': '->motd',
        },
        { 'etc/motd': 'host', 'lib/twin1': 'twins', 'lib/twin2': '=lib/twin1' },
      ])
      await chmod(directory, 0o711)
      await run()
      assert.equal(await read('etc/motd'), 'host')
      assert.equal(await read('etc/issue'), 'short')
      assert.equal(await read('etc/twin'), 'base', 'a hard link was written through')
      assert.equal(await read('etc/keep/file'), 'kept')
      assert.equal(await read('usr/lib/a'), 'a')
      assert.equal(await readlink(join(directory, 'lib')), 'usr/lib')
      assert.equal(await read('usr/lib/systemd/unit'), 'unit')
      assert.equal(await read('opt/tree'), 'now a file')
      assert.equal(await read('opt/file/inside'), 'now a directory')
      assert.equal(await read('opt/dangling/x'), 'was a link')
      assert.equal(await readlink(join(directory, 'etc/link')), 'motd')
      assert.equal((await lstat(join(directory, 'usr/lib/twin2'))).nlink, 2)
      assert.equal(
        (await readdir(directory)).some((name) => name.startsWith('.swarm')),
        false,
      )
      assert.equal(plans[0]?.finishing?.length, 2)
    })
  },
)

test(
  'deploy() keeps an override inside the target, wherever links of the image lead',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const outside = join(scope.directory, 'outside')
      await mkdir(outside)
      const { directory, run, read } = await lay(scope, [
        { absolute: `->${outside}`, up: '->../../../../../..', 'a/round': '->round', inside: '/' },
        { 'absolute/x': '1', 'up/y': '2', 'a/round/z': '3' },
      ])
      await run()
      assert.deepEqual(await readdir(outside), [])
      assert.equal(await read('y'), '2', 'a link above the root leads to the root')
      assert.equal(await read('absolute/x'), '1')
      assert.equal((await lstat(join(directory, 'absolute'))).isDirectory(), true)
      assert.equal(await read('a/round/z'), '3')
    })
  },
)

test(
  'deploy() that is interrupted while an override is laid over goes on, and ends as if it had not been',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const over: Content = {
        'opt/tree': 'now a file',
        'opt/file/inside': 'now a directory',
        'opt/dangling/x': 'was a link',
        'etc/motd': '->issue',
        'etc/keep': 'was a directory',
        'usr/lib/b': 'b',
      }
      const contents = [BASE, over, { 'etc/last': 'last' }]
      const { directory, run, read } = await lay(scope, contents)
      const controller = new AbortController()
      let laid = 0
      const update = ({ phase }: ProgressUpdate) => {
        if (phase.startsWith('laying over') && ++laid === 2) controller.abort()
      }
      const interrupted = run({
        progress: { ...silentProgress, update },
        signal: controller.signal,
      })
      await assert.rejects(interrupted, { code: 'ERR_SI_ABORTED' })
      assert.equal(await read('opt/tree'), 'now a file')
      await run()
      const fresh = join(scope.directory, 'fresh')
      await mkdir(fresh)
      await run({ into: fresh })
      assert.deepEqual(await compareTrees(fresh, directory, { excludes: [] }), [])
    })
  },
)

for (const [what, over, fault] of [
  [
    'two of its files lie at one place',
    { 'lib/x': '1', 'usr/lib/x': '2' },
    /lib\/x .*which is taken/,
  ],
  ['it names the journal through a link', { 'up/.swarmimager-journal': '1' }, /which is taken/],
] as const) {
  test(`deploy() refuses an override when ${what}`, { skip }, async () => {
    await withScope(async (scope) => {
      const base = { ...BASE, up: '->/' }
      const { run } = await lay(scope, [base, over])
      await assert.rejects(run(), fault)
    })
  })
}

test(
  'deploy() does not touch the target when an override is not signed as the image is',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const pki = join(scope.directory, 'pki')
      await makeCertificates(pki)
      const files = { certificateFile: join(pki, 'signer.pem'), keyFile: join(pki, 'signer.key') }
      const { sign } = await loadSigner(files)
      const trustFiles = [join(pki, 'ca.pem')]
      const trust = await loadTrust({ trustFiles, crlFiles: [], allowUnsigned: false })
      const half = await lay(scope, [BASE, { 'etc/motd': 'x' }], {
        sign: (index) => (index === 0 ? sign : undefined),
        trust,
      })
      await assert.rejects(half.run(), { code: 'ERR_SI_UNTRUSTED', message: /is not signed/ })
      assert.deepEqual(await readdir(half.directory), [])
      const whole = await lay(scope, [BASE, { 'etc/motd': 'x' }], {
        ...{ target: 'other', sign: () => sign, trust },
      })
      assert.equal((await whole.run()).signedBy, 'server')
      assert.equal(await whole.read('etc/motd'), 'x')
    })
  },
)
