// This program as few files for the initramfs (esbuild). Worker threads start from files of their own, found beside the
// module that starts them: all files lie in one folder. Invariant: whatever only an image server runs is left
// out; koffi stays a package, since it loads a native library.
import { globSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Loaded by si-server and si-mkautoinstall alone; koffi by its package. */
const EXTERNAL = ['koffi', 'esbuild', 'fastify', 'bittorrent-tracker']

/** Packages that were made for require() look for it in a module, where it is not. */
const REQUIRE =
  "import{createRequire as siRequire}from'node:module';const require=siRequire(import.meta.url);"

/** Folder `src` or `dist`, whichever runs now. */
const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Writes main.js and the workers to `directory`. */
export async function bundleProgram(directory: string): Promise<void> {
  const { build } = await import('esbuild')
  const extension = extname(import.meta.url)
  const workers = globSync(`**/*-worker${extension}`, { cwd: PROGRAM })
  const entries = [`cli/main${extension}`, ...workers]
  await build({
    entryPoints: entries.map((path) => ({
      in: join(PROGRAM, path),
      out: basename(path, extension),
    })),
    outdir: directory,
    chunkNames: '[name]-[hash]',
    ...{ bundle: true, splitting: true, minify: true, format: 'esm' },
    ...{ platform: 'node', target: 'node24', external: EXTERNAL },
    banner: { js: REQUIRE },
    logLevel: 'silent',
  })
}

/** The package this program belongs to: package.json and node_modules are there or above. */
export const PACKAGE = join(PROGRAM, '..')
