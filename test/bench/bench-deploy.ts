// One node from one server on loopback: si-deploy against a plain HTTP download from nginx that is decoded
// as it comes, and against `aria2c` followed by the decoding; the same image onto the same freshly made ext4
// on a loop device; with the bytes that reached the disk. si-deploy flushes the disk before it reports
// success, so the plain download takes part with and without that.
import { join } from 'node:path'
import type { CompetitionOptions } from './report.ts'
import { createTarget, DEPLOY, startServer } from './deploy-site.ts'
import { copyGoldenTree, SI } from './golden-tree.ts'
import { compete, runQuietly, type Contestant, type Row } from './measure.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { startNginx } from '../lab/nginx.ts'
import { withScope } from '../lab/scope.ts'

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
    const url = await startServer(scope, { repository, image: 'golden' })
    const nginx = await startNginx(scope, repository)
    const target = await createTarget(scope)
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
