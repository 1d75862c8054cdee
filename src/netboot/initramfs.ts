// The initramfs: dracut (dracut(8)) with our module autoinstall/module-setup.sh alone, on the modules of the image's
// kernel, and Node in an archive of its own behind it (the kernel unpacks one after the other:
// Documentation/driver-api/early-userspace/buffer-format.rst). Node is by far the largest part and always the same:
// its archive is made once and kept.
import {
  appendFile,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
} from 'node:fs/promises'
import { join } from 'node:path'
import { exists, isSiError, SiError } from '../core/core.ts'
import { run } from '../host/host.ts'
import type { KernelFiles } from './kernel-files.ts'
import { PACKAGE } from './program-bundle.ts'

export interface InitramfsOptions {
  readonly kernel: KernelFiles
  /** Made by makePayload(). */
  readonly payloadDirectory: string
  /** Empty folder for what is needed meanwhile. */
  readonly workDirectory: string
  /** Where archives of Node are kept. */
  readonly cacheDirectory: string
  /** Of zstd, 1 to 19. */
  readonly compressionLevel: number
  readonly output: string
}

const DRACUT = '/usr/lib/dracut'

/** Throws ERR_SI_PROGRAM_MISSING, ERR_SI_PROGRAM_FAILED. */
export async function makeInitramfs(
  options: InitramfsOptions,
  signal: AbortSignal,
): Promise<{ readonly sizeBytes: number }> {
  const base = join(options.workDirectory, 'dracut')
  await makeDracutFolder(base)
  await runDracut(base, options, signal)
  const node = await nodeArchive(options, signal)
  await appendFile(options.output, await readFile(node))
  return { sizeBytes: (await stat(options.output)).size }
}

/** dracut takes modules from one folder only: this one shows its own scripts, and our module beside the one for udev. */
async function makeDracutFolder(base: string): Promise<void> {
  if (!(await exists(join(DRACUT, 'dracut-init.sh')))) {
    throw new SiError('ERR_SI_PROGRAM_MISSING', 'dracut is not installed', {
      hint: 'Install it: apt-get install dracut-core busybox',
    })
  }
  const modules = join(base, 'modules.d')
  await mkdir(modules, { recursive: true })
  for (const name of await readdir(DRACUT)) {
    if (name !== 'modules.d') await symlink(join(DRACUT, name), join(base, name))
  }
  const [udev = '95udev-rules'] = (await readdir(join(DRACUT, 'modules.d'))).filter((name) =>
    name.endsWith('udev-rules'),
  )
  await symlink(join(DRACUT, 'modules.d', udev), join(modules, udev))
  await symlink(join(PACKAGE, 'autoinstall'), join(modules, '99swarmimager'))
  await mkdir(join(base, 'configuration'))
}

async function runDracut(
  base: string,
  options: InitramfsOptions,
  signal: AbortSignal,
): Promise<void> {
  const { kernel, compressionLevel } = options
  const args = [
    ...['--force', '--no-hostonly', '--no-hostonly-cmdline', '--no-early-microcode'],
    ...['--nofscks', '--nomdadmconf', '--nolvmconf', '--quiet'],
    ...['--conf', '/dev/null', '--confdir', join(base, 'configuration')],
    ...['--tmpdir', options.workDirectory, '--modules', 'udev-rules swarmimager'],
    ...['--kver', kernel.version, '--kmoddir', kernel.modulesDirectory],
    ...['--fwdir', kernel.firmwareDirectory],
    ...['--compress', `zstd -q -${compressionLevel} -T0`, options.output],
  ]
  const env = {
    dracutbasedir: base,
    si_payload: options.payloadDirectory,
    si_node: process.execPath,
  }
  try {
    const { stderr } = await run('dracut', args, { env, signal })
    const missing = [...stderr.matchAll(/ERROR: installing '([^']+)'/g)].map(([, name]) => name)
    if (missing.length > 0) {
      throw new SiError('ERR_SI_PROGRAM_FAILED', `${missing.join(', ')} not found`)
    }
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_PROGRAM_FAILED')) throw error
    throw new SiError(error.code, `Cannot make an initramfs: ${error.message}`, {
      hint: 'Install what is missing: npm run setup, or look into the messages of dracut',
      cause: error,
    })
  }
}

/** The directory of Node in the initramfs. */
const HOME = 'usr/lib/swarmimager'

/** Compressed cpio archive of the Node that runs now, without its symbols. */
async function nodeArchive(options: InitramfsOptions, signal: AbortSignal): Promise<string> {
  const { cacheDirectory, compressionLevel } = options
  const name = `node-${process.version}-${process.arch}-${compressionLevel}.cpio.zst`
  const path = join(cacheDirectory, name)
  if (await exists(path)) return path
  const root = join(options.workDirectory, 'node')
  const binary = join(root, HOME, 'node')
  await mkdir(join(root, HOME), { recursive: true })
  await copyFile(process.execPath, binary)
  await run('strip', [binary], { signal })
  const archive = join(options.workDirectory, 'node.cpio')
  const names = ['usr', 'usr/lib', HOME, `${HOME}/node`].join('\n')
  const cpio = ['--create', '--format=newc', '--quiet', '--owner=0:0', `--file=${archive}`]
  await run('cpio', cpio, { cwd: root, input: `${names}\n`, signal })
  const zstd = ['-q', `-${compressionLevel}`, '-T0', archive, '-o', `${archive}.zst`]
  await run('zstd', zstd, { signal })
  await mkdir(cacheDirectory, { recursive: true })
  const draft = `${path}.${process.pid}`
  await copyFile(`${archive}.zst`, draft)
  await rename(draft, path)
  return path
}
