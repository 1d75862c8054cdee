// The grid file system as mount(8) and umount(8) see it: by hand and from fstab, with its options, its exit
// statuses, and nothing left over. In mount and process namespaces of the test, with a /sbin of its own.
import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { createGridSite } from '../lab/grid-site.ts'
import { withScope, type Scope } from '../lab/scope.ts'

const LAUNCHER = join(import.meta.dirname, '../../src/cli/si')
const SBIN = '/usr/sbin'

/** mount(8) looks for helpers in /sbin alone. */
const PREPARE = `
  mount -t tmpfs tmpfs "$1/layer"
  mkdir "$1/layer/upper" "$1/layer/work"
  mount -t overlay overlay -o "lowerdir=${SBIN},upperdir=$1/layer/upper,workdir=$1/layer/work" ${SBIN}
  ln -s "${LAUNCHER}" ${SBIN}/mount.gridfs
  shift
`

/** All that is said, by whomever. */
async function inOwnSbin(scope: Scope, script: string, args: readonly string[]): Promise<string> {
  const namespaces = [
    '--mount',
    '--propagation=slave',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ]
  const command = ['sh', '-uc', `exec 2>&1; ${PREPARE}${script}`, 'sh', scope.directory, ...args]
  const { signal } = scope
  const { stdout } = await run('unshare', [...namespaces, ...command], {
    signal,
    killWith: 'SIGKILL',
  })
  return stdout
}

interface Place {
  readonly source: string
  readonly folder: string
  readonly log: string
  readonly options: string
  readonly exported: string
}

const NAMES: Readonly<Record<string, string>> = {
  ...{ '--certificate': 'cert', '--key': 'key', '--trust': 'ca', '--crl': 'crl' },
}

async function place(scope: Scope): Promise<Place> {
  const site = await createGridSite(scope)
  const { source, flags } = await site.client('helper')
  const [folder, log] = [join(scope.directory, 'mounted'), join(scope.directory, 'log')]
  await Promise.all([mkdir(folder), mkdir(join(scope.directory, 'layer'))])
  const files = flags.flatMap((flag, index) =>
    NAMES[flag] === undefined ? [] : [`${NAMES[flag]}=${flags[index + 1] ?? ''}`],
  )
  const options = [...files, `log=${log}`].join(',')
  return { source, folder, log, options, exported: site.directory }
}

const WAIT_FOR_THE_END = `
  for turn in $(seq 200); do pgrep -f "[g]ridfs mount" > /dev/null || break; sleep 0.1; done
  pgrep -fc "[g]ridfs mount" || true
`

const skip = process.getuid?.() === 0 ? false : 'needs root'

describe('mount -t gridfs', { skip }, () => {
  test('mounts in the background, and umount ends all of it', async () => {
    await withScope(async (scope) => {
      const { source, folder, log, options, exported } = await place(scope)
      const script = `
        mount -t gridfs "$1" "$2" -o "$3,nodev,x-systemd.automount,_netdev"; echo "mount $?"
        echo content > "$2/file"; cat "$2/file"
        grep -c " $2 .*nodev.* fuse.gridfs " /proc/self/mountinfo
        umount "$2"; echo "umount $?"
        ${WAIT_FOR_THE_END}`
      const said = await inOwnSbin(scope, script, [source, folder, options])
      assert.deepEqual(said.trim().split('\n'), ['mount 0', 'content', '1', 'umount 0', '0'])
      assert.equal(await readFile(join(exported, 'file'), 'utf8'), 'content\n')
      assert.match(await readFile(log, 'utf8'), /"mounted .*"unmounted /s)
    })
  })

  test('mounts what stands in fstab, read-only when it says so', async () => {
    await withScope(async (scope) => {
      const { source, folder, options, exported } = await place(scope)
      await writeFile(join(exported, 'file'), 'content')
      const fstab = join(scope.directory, 'fstab')
      await writeFile(fstab, `${source} ${folder} gridfs noauto,ro,soft=30,${options} 0 0\n`)
      const script = `
        mount -T "$2" "$1"; echo "mount $?"
        cat "$1/file"; echo
        touch "$1/other" || echo refused
        grep -c " $1 ro,.* fuse.gridfs " /proc/self/mountinfo
        umount "$1"; ${WAIT_FOR_THE_END}`
      const said = await inOwnSbin(scope, script, [folder, fstab])
      const [status, content, touch, ...rest] = said.trim().split('\n')
      assert.deepEqual([status, content], ['mount 0', 'content'])
      assert.match(touch ?? '', /Read-only file system/)
      assert.deepEqual(rest, ['refused', '1', '0'])
    })
  })

  test('says what is wrong and ends as mount(8) does, with nothing mounted', async () => {
    await withScope(async (scope) => {
      const { source, folder, options } = await place(scope)
      await chmod(scope.directory, 0o755)
      const script = `
        mount -t gridfs "$1" "$2" -o "$3,sotf=3"; echo "status $?"
        mount -t gridfs "$1" "$2" -s -o "$3,sotf=3"; echo "status $?"; umount "$2"
        mount -t gridfs "\${1%data}none" "$2" -o "$3"; echo "status $?"
        mount -t gridfs "$1" "$2/missing" -o "$3"; echo "status $?"
        grep -c " $2 " /proc/self/mountinfo
        ${WAIT_FOR_THE_END}`
      const said = await inOwnSbin(scope, script, [source, folder, options])
      assert.match(
        said,
        /^mount\.gridfs: Cannot mount with "sotf=3": no such option\n.*\nstatus 1\n/,
      )
      assert.match(
        said,
        /^status 0\nmount\.gridfs: Cannot mount \S+:\/none at .*ENOENT\n.*\nstatus 32$/m,
      )
      assert.match(said, /missing.*\nstatus 32\n0\n0\n$/s)
    })
  })
})
