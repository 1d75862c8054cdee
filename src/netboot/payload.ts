// What the initramfs carries besides the kernel's modules and the system's programs: the bundled program, koffi, the
// authority to trust, local.cfg. The tree that is made here is what autoinstall/module-setup.sh puts in.
import { copyFile, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { SiError } from '../core/core.ts'
import { bundleProgram, PACKAGE } from './program-bundle.ts'

export interface PayloadOptions {
  /** Authorities whose signers to believe, PEM; undefined: none, then only unsigned images can be installed. */
  readonly trustFile: string | undefined
  /** local.cfg; undefined: none. */
  readonly localConfiguration: string | undefined
  readonly madeMs: number
}

const HOME = 'usr/lib/swarmimager'
const COMMANDS = ['autoinstall', 'deploy', 'seed']

/** The commands of the initramfs; `$0` says which. */
const LAUNCHER = `#!/bin/sh
# Starts a command: the verb is in its name.
name=\${0##*/}
exec /${HOME}/node /${HOME}/dist/bundle/main.js "\${name#si-}" "$@"
`

export async function makePayload(directory: string, options: PayloadOptions): Promise<void> {
  const home = join(directory, HOME)
  await bundleProgram(join(home, 'dist/bundle'))
  await copyFile(join(PACKAGE, 'package.json'), join(home, 'package.json'))
  await copyKoffi(join(home, 'node_modules'))
  const bin = join(directory, 'usr/bin')
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, 'si'), LAUNCHER, { mode: 0o755 })
  for (const command of COMMANDS) await symlink('si', join(bin, `si-${command}`))
  const configuration = join(directory, 'etc/swarmimager')
  await mkdir(join(configuration, 'pki'), { recursive: true })
  await writeFile(join(configuration, 'made'), `${Math.floor(options.madeMs / 1000)}\n`)
  const { trustFile, localConfiguration } = options
  if (trustFile !== undefined) await copyTrust(trustFile, join(configuration, 'pki/ca.pem'))
  if (localConfiguration !== undefined) {
    await writeFile(join(configuration, 'local.cfg'), localConfiguration)
  }
}

/** The package and the native library for this architecture, without its sources. */
async function copyKoffi(target: string): Promise<void> {
  const { resolve } = createRequire(import.meta.url)
  const source = dirname(resolve('koffi'))
  const native = `@koromix/koffi-linux-${process.arch}`
  const library = dirname(createRequire(join(source, 'index.js')).resolve(native))
  await cp(source, join(target, 'koffi'), { recursive: true, filter: isProgram })
  await cp(library, join(target, native), { recursive: true, filter: isProgram })
}

/** Folders, modules, package.json, and native libraries for glibc. */
function isProgram(path: string): boolean {
  return !path.includes('musl') && /(?:\/[^.]*|\.js|\.json|\.node|_\w+)$/.test(path)
}

/** Certificates only: a private key that stands in the same file must not travel to every node. */
async function copyTrust(source: string, target: string): Promise<void> {
  const text = await readFile(source, 'utf8')
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new SiError('ERR_SI_CERTIFICATE', `${source} holds a private key`, {
      hint: 'Name a file with nothing but certificates: everybody can read an initramfs',
    })
  }
  await writeFile(target, text)
}
