// What deployments of a bench need: an image server on loopback, and an ext4 on a loop device that is made anew
// for each round.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { freePort } from '../lab/foreign/client-program.ts'
import { createLoopDisk } from '../lab/loop-disk.ts'
import { waitFor, type Scope } from '../lab/scope.ts'
import { SI } from './golden-tree.ts'
import { runQuietly } from './measure.ts'

const DISK_BYTES = 8 * 2 ** 30

/** The command, up to its options for torrent and target. */
export const DEPLOY = [SI, 'deploy', '--no-local-discovery']

/** Serves a repository on free ports; resolves, when it offers `image`, to the URL of the torrent. */
export async function startServer(
  scope: Scope,
  { repository, image }: { readonly repository: string; readonly image: string },
): Promise<string> {
  const port = await freePort()
  const server = spawn(
    SI,
    [
      ...['server', '--repository', repository, '--host', '127.0.0.1'],
      ...['--http-port', String(port), '--peer-port', '0'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  scope.defer('si-server', async () => {
    if (server.exitCode === null && server.kill()) await once(server, 'exit')
  })
  const url = `http://127.0.0.1:${port}/images/${image}/img.torrent`
  const isUp = () =>
    fetch(url).then(
      (response) => response.ok,
      () => false,
    )
  await waitFor('the start of si-server', isUp, { deadlineMs: 20_000, signal: scope.signal })
  return url
}

/** An ext4 on a loop device, made anew for each round; `inspect` reads what the round wrote to it. */
export async function createTarget(scope: Scope) {
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
