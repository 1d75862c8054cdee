// A minimal Debian with an ssh server, as a tarball that is made once by debootstrap from the
// machine's own apt mirror and kept in a cache folder, so that only the first run waits for it.
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SiError } from "../../src/core/core.js";
import { run } from "../../src/host/host.js";
import { runIsolated } from "./isolated.js";
import {} from "./scope.js";
/** What the golden client has beyond a minimal system: nothing that SwarmImager itself asks for. */
const PACKAGES = ['fdisk', 'openssh-server'];
/** Raised when the script below changes, so that no old tarball is taken. */
const RECIPE = 1;
/** Arguments: folder to work in, release, mirror, packages, tarball. */
const BUILD = `
work=$1 release=$2 mirror=$3 packages=$4 tarball=$5
trap 'cat "$work/debootstrap/debootstrap.log" >&2 2>/dev/null || :' EXIT
debootstrap --variant=minbase --include="$packages" "$release" "$work" "$mirror" >"$work.log" 2>&1 ||
  { tail -n 3 "$work.log" >&2; exit 1; }
trap - EXIT
rm -f "$work"/etc/ssh/ssh_host_* "$work"/var/cache/apt/archives/*.deb
rm -rf "$work"/var/lib/apt/lists/*
tar --create --file="$tarball" --use-compress-program='zstd -3 -T0' --numeric-owner \\
  --xattrs --xattrs-include='*' --acls --one-file-system --directory="$work" .
`;
/** Path of the tarball; makes it when this machine has none. Takes half a minute then. */
export async function debianTarball(scope, say) {
    const release = await debianRelease();
    const mirror = await debianMirror(release);
    const recipe = JSON.stringify([RECIPE, release, process.arch, PACKAGES]);
    const key = createHash('sha256').update(recipe).digest('hex').slice(0, 12);
    const tarball = join(cacheDirectory(), `debian-${release}-${key}.tar.zst`);
    if (await exists(tarball))
        return tarball;
    say(`making a minimal Debian "${release}" from ${mirror} (once; kept as ${tarball})`);
    await mkdir(cacheDirectory(), { recursive: true });
    const work = join(cacheDirectory(), `making-${scope.id}`);
    const leftovers = [work, `${work}.log`, `${work}.tar.zst`];
    const clean = () => Promise.all(leftovers.map((path) => rm(path, { recursive: true, force: true })));
    scope.defer(work, clean);
    const args = [work, release, mirror, PACKAGES.join(','), `${work}.tar.zst`];
    await runIsolated(scope, 'debootstrap', { script: BUILD, args });
    await rename(`${work}.tar.zst`, tarball);
    await clean();
    return tarball;
}
function cacheDirectory() {
    const base = process.env['XDG_CACHE_HOME'];
    return base === undefined || base === ''
        ? '/var/cache/swarmimager-lab'
        : join(base, 'swarmimager-lab');
}
async function debianRelease() {
    const match = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile('/etc/os-release', 'utf8'));
    if (match?.[1] !== undefined)
        return match[1];
    throw new SiError('ERR_SI_USAGE', 'Cannot tell the Debian release: /etc/os-release names none', {
        hint: 'Run this on Debian 12 or newer',
    });
}
/** The mirror that apt itself uses for this release, so that local mirrors are honoured. */
async function debianMirror(release) {
    const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)';
    const { stdout } = await run('apt-get', ['indextargets', '--format', format]);
    const targets = stdout.split('\n').map((line) => line.split(' '));
    const target = targets.find(([, suite, component]) => suite === release && component === 'main');
    const uri = target?.[0];
    return uri !== undefined && /^(https?|file):/.test(uri) ? uri : 'http://deb.debian.org/debian';
}
async function exists(path) {
    return access(path).then(() => true, () => false);
}
