// One node from one server on loopback: si-deploy against a plain HTTP download from nginx that is decoded
// as it comes, and against `aria2c` followed by the decoding; the same image onto the same freshly made ext4
// on a loop device; with the bytes that reached the disk. si-deploy flushes the disk before it reports
// success, so the plain download takes part with and without that.
import { spawn } from 'node:child_process'
import { mkdir, readFile, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { once } from 'node:events'
import type { CompetitionOptions } from './report.ts'
import { copyGoldenTree, SI } from './golden-tree.ts'
import { compete, runQuietly, type Contestant, type Row } from './measure.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { createLoopDisk } from '../lab/loop-disk.ts'
import { startNginx } from '../lab/nginx.ts'
import { withScope, waitFor, type Scope } from '../lab/scope.ts'

const HTTP_PORT = 18_080
/** Not the usual one: aria2c takes that for itself and would mistake the server for itself. */
const PEER_PORT = 16_881
const DISK_BYTES = 8 * 2 ** 30

export async function benchDeploy(options: CompetitionOptions): Promise<readonly Row[]> {
  return withScope(async (scope) => {
    const { directory } = scope
    const golden = await copyGoldenTree(directory, options.sources)
    const repository = join(directory, 'repository')
    const pki = await makeCertificates(join(directory, 'pki'))
    await runQuietly([
      SI,
      'getimage',
      '--root',
      golden,
      '--name',
      'golden',
      '--repository',
      repository,
      ...pki,
    ])
    await startServer(scope, repository)
    const nginx = await startNginx(scope, repository)
    const target = await createTarget(scope)
    const url = `http://127.0.0.1:${HTTP_PORT}/images/golden/img.torrent`
    const packUrl = `${nginx.origin}/images/golden/latest/image.tar.zst`
    const contestant = (name: string, command: readonly string[]): Contestant => ({
      ...{ name, command, prepare: target.renew, inspect: target.inspect },
    })
    const bash = (script: string, ...args: readonly string[]) => [
      ...['bash', '-o', 'pipefail', '-c', script, 'bash', ...args],
    ]
    return compete(
      [
        contestant('curl | zstd -dc | tar -x', bash(CURL_AND_TAR, packUrl, target.path)),
        contestant('the same, then sync', bash(`${CURL_AND_TAR} && ${SYNC}`, packUrl, target.path)),
        contestant(
          'aria2c, then zstd -dc | tar -x',
          bash(ARIA2_AND_TAR, url, target.path, directory),
        ),
        contestant('si-deploy --root', [
          ...DEPLOY,
          '--torrent',
          url,
          '--root',
          target.path,
          ...pki,
        ]),
      ],
      options.rounds,
    )
  })
}

const DEPLOY = [SI, 'deploy', '--no-local-discovery']

const TAR = `tar --extract --xattrs --xattrs-include='*' --acls --numeric-owner --directory "$2"`

/** $1 URL of the pack, $2 target. */
const CURL_AND_TAR = `curl --silent --fail "$1" | zstd -dc | ${TAR}`
const SYNC = 'sync --file-system "$2"'

/** $1 torrent URL, $2 target, $3 folder for the download. */
const ARIA2_AND_TAR = `
  set -e
  download=$(mktemp -d "$3/aria2-XXXXXX")
  trap 'rm -rf "$download"' EXIT
  aria2c --quiet --seed-time=0 --enable-dht=false --enable-dht6=false --bt-enable-lpd=false \\
    --enable-peer-exchange=false --bt-stop-timeout=60 --file-allocation=none --dir="$download" "$1"
  zstd -dc "$download"/*/image.tar.zst | ${TAR}
`

async function startServer(scope: Scope, repository: string): Promise<void> {
  const server = spawn(
    SI,
    [
      ...['server', '--repository', repository, '--host', '127.0.0.1'],
      ...['--http-port', String(HTTP_PORT), '--peer-port', String(PEER_PORT)],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  scope.defer('si-server', async () => {
    if (server.exitCode === null && server.kill()) await once(server, 'exit')
  })
  const url = `http://127.0.0.1:${HTTP_PORT}/images/golden/img.torrent`
  const isUp = () =>
    fetch(url).then(
      (response) => response.ok,
      () => false,
    )
  await waitFor('the start of si-server', isUp, { deadlineMs: 20_000, signal: scope.signal })
}

/** An ext4 on a loop device, made anew for each round; `inspect` reads what the round wrote to it. */
async function createTarget(scope: Scope) {
  const { device } = await createLoopDisk(scope, { name: 'target', sizeBytes: DISK_BYTES })
  const path = join(scope.directory, 'target')
  await mkdir(path)
  const writtenBytes = async () => {
    const stat = await readFile(`/sys/block/${basename(device)}/stat`, 'utf8')
    return Number(stat.trim().split(/\s+/)[6]) * 512
  }
  let mounted = false
  const unmount = async () => {
    if (mounted) await runQuietly(['umount', path])
    mounted = false
  }
  scope.defer(path, unmount)
  let before = { written: 0, used: 0 }
  const usedBytes = async () => {
    const { blocks, bfree, bsize } = await statfs(path)
    return (blocks - bfree) * bsize
  }
  return {
    path,
    renew: async () => {
      await unmount()
      await runQuietly(['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0', device])
      await runQuietly(['mount', device, path])
      mounted = true
      await runQuietly(['sync', '--file-system', path])
      before = { written: await writtenBytes(), used: await usedBytes() }
    },
    inspect: async () => {
      await runQuietly(['sync', '--file-system', path])
      const content = (await usedBytes()) - before.used
      return { 'written/content': ((await writtenBytes()) - before.written) / content }
    },
  }
}
