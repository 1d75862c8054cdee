// Images by name and version: complete or absent, one writer, latest.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { start } from '../../../src/host/host.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type ImageDraft,
  type Repository,
} from '../../../src/repository/repository.ts'

const NAME = parseImageName('web')
const PARTS = ['image.tar.zst', 'manifest.jsonl.zst', 'image.torrent']

test('commit() makes a version visible and latest', async (t) => {
  const repository = await open(t)
  const image = await put(repository, '1')
  assert.equal(image.directory, join(repository.directory, 'images/web/1'))
  assert.deepEqual((await readdir(image.directory)).sort(), [...PARTS].sort())
  assert.equal(await readlink(join(repository.directory, 'images/web/latest')), '1')
  assert.deepEqual(await repository.open(NAME), image)
  await put(repository, '2')
  assert.equal((await repository.open(NAME)).version, '2')
  assert.deepEqual(await repository.open(NAME, parseImageVersion('1')), image)
})

test('list() gives names and versions in natural order, and nothing unfinished', async (t) => {
  const repository = await open(t)
  assert.deepEqual(await repository.list(), [])
  for (const version of ['10', '9', '1']) await put(repository, version)
  const draft = await repository.begin(NAME, parseImageVersion('11'))
  await fill(draft)
  await mkdir(join(repository.directory, 'images/web/incomplete'))
  await mkdir(join(repository.directory, 'images/not a name'))
  const versions = (await repository.list()).map(({ version }) => version)
  assert.deepEqual(versions, ['1', '9', '10'])
  await draft.discard()
})

test('open() throws ERR_SI_IMAGE_NOT_FOUND and names what is missing', async (t) => {
  const repository = await open(t)
  const code = 'ERR_SI_IMAGE_NOT_FOUND'
  await assert.rejects(repository.open(NAME), { code, message: /^Cannot find image "web" in / })
  await put(repository, '1')
  await assert.rejects(repository.open(NAME, parseImageVersion('2')), {
    code,
    message: /version "2" of image "web"/,
  })
})

test('begin() refuses a second writer of the same image and names the first', async (t) => {
  const repository = await open(t)
  const draft = await repository.begin(NAME, parseImageVersion('1'))
  await assert.rejects(repository.begin(NAME, parseImageVersion('2')), {
    code: 'ERR_SI_IMAGE_LOCKED',
    message: `Cannot write image "web": process ${process.pid} writes it`,
  })
  const other = await repository.begin(parseImageName('db'), parseImageVersion('1'))
  await other.discard()
  await draft.discard()
  await (await repository.begin(NAME, parseImageVersion('2'))).discard()
})

test('begin() refuses a version that exists', async (t) => {
  const repository = await open(t)
  await put(repository, '1')
  const code = 'ERR_SI_IMAGE_EXISTS'
  await assert.rejects(repository.begin(NAME, parseImageVersion('1')), { code })
  await (await repository.begin(NAME, parseImageVersion('2'))).discard()
})

test('discard() leaves nothing but the lock file', async (t) => {
  const repository = await open(t)
  const draft = await repository.begin(NAME, parseImageVersion('1'))
  await fill(draft)
  await draft.discard()
  await draft.discard()
  assert.deepEqual(await readdir(join(repository.directory, 'images/web')), ['.lock'])
  await assert.rejects(draft.commit(), { code: 'ERR_SI_INTERNAL' })
})

test('discard() after commit() keeps the image', async (t) => {
  const repository = await open(t)
  const draft = await repository.begin(NAME, parseImageVersion('1'))
  await fill(draft)
  await draft.commit()
  await draft.discard()
  assert.equal((await repository.open(NAME)).version, '1')
})

test('begin() removes the draft of a writer that was killed, and only after it died', async (t) => {
  const repository = await open(t)
  const writer = start(process.execPath, ['--input-type=module', '-e', KILLED_WRITER], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { SI_TEST_REPOSITORY: repository.directory, SI_TEST_ROOT: import.meta.dirname },
  })
  t.after(() => writer.process.kill('SIGKILL'))
  assert.ok(writer.process.stdout)
  await once(writer.process.stdout, 'data')
  await assert.rejects(repository.begin(NAME, parseImageVersion('2')), {
    code: 'ERR_SI_IMAGE_LOCKED',
    message: new RegExp(`process ${writer.process.pid} `),
  })
  writer.process.kill('SIGKILL')
  await writer.exited
  const draft = await repository.begin(NAME, parseImageVersion('2'))
  const folder = join(repository.directory, 'images/web')
  assert.equal((await readdir(folder)).filter((name) => name.startsWith('.draft-')).length, 1)
  await draft.discard()
})

test('open() finds the youngest version when a writer died before it set latest', async (t) => {
  const repository = await open(t)
  await put(repository, '1')
  await rm(join(repository.directory, 'images/web/latest'))
  assert.equal((await repository.open(NAME)).version, '1')
})

test('openRepository() refuses a file and creates nothing', async (t) => {
  const directory = await temporary(t)
  const path = join(directory, 'file')
  await writeFile(path, '')
  await assert.rejects(openRepository(path), { code: 'ERR_SI_USAGE' })
  await (await openRepository(join(directory, 'none'))).list()
  assert.deepEqual(await readdir(directory), ['file'])
})

const KILLED_WRITER = `
const { openRepository } = await import(process.env.SI_TEST_ROOT + '/../../../src/repository/repository.ts')
const repository = await openRepository(process.env.SI_TEST_REPOSITORY)
await repository.begin('web', '1')
console.log('ready')
setInterval(() => {}, 1000)
`

async function open(t: TestContext): Promise<Repository> {
  return openRepository(await temporary(t))
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'si-repository-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function put(repository: Repository, version: string) {
  const draft = await repository.begin(NAME, parseImageVersion(version))
  await fill(draft)
  return draft.commit()
}

async function fill(draft: ImageDraft): Promise<void> {
  for (const part of PARTS) await writeFile(join(draft.directory, part), part)
}

test('open() finds the youngest version when the latest was removed', async (t) => {
  const repository = await open(t)
  const first = await put(repository, '1')
  const second = await put(repository, '2')
  await rm(second.directory, { recursive: true })
  await mkdir(join(repository.directory, 'images/web/incomplete'))
  assert.deepEqual(await repository.open(NAME), first)
})

test('openRepository() refuses an empty path instead of taking the working directory', async () => {
  await assert.rejects(openRepository(''), { code: 'ERR_SI_USAGE' })
})
