// The smallest tree in which scripts can run: busybox with its libraries, /etc and /var/log, made in a moment.
import { cp, mkdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../src/host/host.ts'

const PROGRAMS = ['cat', 'chroot', 'env', 'kill', 'ln', 'ls', 'mkdir', 'mv', 'rm', 'sh', 'sleep']

/** `files`: more of them, by path. */
export async function makeTinySystem(
  tree: string,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  await mkdir(join(tree, 'bin'), { recursive: true })
  const busybox = (await run('sh', ['-c', 'command -v busybox'])).stdout.trim()
  await cp(await realpath(busybox), join(tree, 'bin/busybox'))
  for (const program of PROGRAMS) await symlink('busybox', join(tree, 'bin', program))
  const { stdout } = await run('ldd', [busybox], { okExitCodes: [0, 1] })
  for (const [path] of stdout.matchAll(/(?<=\s)\/\S+/g)) await copyTo(tree, path)
  await mkdir(join(tree, 'var/log'), { recursive: true })
  for (const [path, text] of Object.entries({ 'etc/motd': 'golden\n', ...files })) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await writeFile(join(tree, path), text)
  }
}

async function copyTo(tree: string, path: string): Promise<void> {
  await mkdir(dirname(join(tree, path)), { recursive: true })
  await cp(await realpath(path), join(tree, path))
}
