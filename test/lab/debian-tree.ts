// A minimal Debian, made once by debootstrap from the machine's own apt mirror and kept in a cache
// folder under the hash of its recipe, so that only the first run waits for it. A recipe says what is
// installed and what the tree is packed into: a tarball, a file system image.
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, exists, SiError } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import { runIsolated } from './isolated.ts'
import { type Scope } from './scope.ts'

export interface DebianRecipe {
  /** Begins the name of the result in the cache folder; `suffix` ends it. */
  readonly name: string
  readonly suffix: string
  /** What the tree has beyond Debian's smallest variant. */
  readonly packages: readonly string[]
  /** Shell script that makes the result, a file or a folder, at $2 of the tree $1. */
  readonly pack: string
}

/** Packs the tree into a tarball with all that it keeps. */
export const PACK_TARBALL = `
tar --create --file="$2" --use-compress-program='zstd -3 -T0' --numeric-owner \\
  --xattrs --xattrs-include='*' --acls --one-file-system --directory="$1" .
`

/** What the golden client has beyond a minimal system: nothing that SwarmImager itself asks for. */
const GOLDEN_CLIENT: DebianRecipe = {
  name: 'debian',
  suffix: '.tar.zst',
  packages: ['fdisk', 'openssh-server'],
  pack: PACK_TARBALL,
}

/** Arguments: folder to work in, result, release, mirror, packages. */
const BUILD = `
work=$1 result=$2 release=$3 mirror=$4 packages=$5
trap 'cat "$work/debootstrap/debootstrap.log" >&2 2>/dev/null || :' EXIT
debootstrap --variant=minbase --include="$packages" "$release" "$work" "$mirror" >"$work.log" 2>&1 ||
  { tail -n 3 "$work.log" >&2; exit 1; }
trap - EXIT
rm -f "$work"/etc/ssh/ssh_host_* "$work"/var/cache/apt/archives/*.deb
rm -rf "$work"/var/lib/apt/lists/*
set -- "$work" "$result"
`

/** Path of the golden client's tarball. */
export function debianTarball(scope: Scope, say: (text: string) => void): Promise<string> {
  return buildDebian(scope, GOLDEN_CLIENT, say)
}

/** Path of the recipe's result; makes it when this machine has none. Takes a minute or two then. */
export async function buildDebian(
  scope: Scope,
  recipe: DebianRecipe,
  say: (text: string) => void,
): Promise<string> {
  const release = await debianRelease()
  const mirror = await debianMirror(release)
  const inputs = JSON.stringify([BUILD, recipe, release, process.arch])
  const key = createHash('sha256').update(inputs).digest('hex').slice(0, 12)
  const result = join(cacheDirectory(), `${recipe.name}-${release}-${key}${recipe.suffix}`)
  if (await exists(result)) return result
  say(`making a minimal Debian "${release}" from ${mirror} (once; kept as ${result})`)
  await mkdir(cacheDirectory(), { recursive: true })
  const work = join(cacheDirectory(), `making-${recipe.name}-${scope.id}`)
  const made = `${work}${recipe.suffix}.made`
  const clean = () =>
    Promise.all(
      [work, `${work}.log`, made].map((path) => rm(path, { recursive: true, force: true })),
    )
  scope.defer(work, clean)
  const args = [work, made, release, mirror, recipe.packages.join(',')]
  await runIsolated(scope, 'debootstrap', { script: `${BUILD}\n${recipe.pack}`, args })
  await rename(made, result).catch((error: unknown) => {
    // Another run was faster; its folder is as good.
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error
  })
  await clean()
  return result
}

/** Where what is made once for all runs is kept. */
export function cacheDirectory(): string {
  const base = process.env['XDG_CACHE_HOME']
  return base === undefined || base === ''
    ? '/var/cache/swarmimager-lab'
    : join(base, 'swarmimager-lab')
}

async function debianRelease(): Promise<string> {
  const match = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile('/etc/os-release', 'utf8'))
  if (match?.[1] !== undefined) return match[1]
  throw new SiError('ERR_SI_USAGE', 'Cannot tell the Debian release: /etc/os-release names none', {
    hint: 'Run this on Debian 12 or newer',
  })
}

/** The mirror that apt itself uses for this release, so that local mirrors are honoured. */
async function debianMirror(release: string): Promise<string> {
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)'
  const { stdout } = await run('apt-get', ['indextargets', '--format', format])
  const targets = stdout.split('\n').map((line) => line.split(' '))
  const target = targets.find(([, suite, component]) => suite === release && component === 'main')
  const uri = target?.[0]
  return uri !== undefined && /^(https?|file):/.test(uri) ? uri : 'http://deb.debian.org/debian'
}
