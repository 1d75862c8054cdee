// The golden client: a real Debian with an ssh server, on a disk of its own with a partition table
// (EFI, swap, ext4 root, xfs /srv), in network, mount, host name and process namespaces of its own.
// Only the kernel is shared with the machine that runs the lab.
import { randomUUID } from 'node:crypto';
import { appendFile, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from "../../src/host/host.js";
import { debianTarball } from "./debian-tree.js";
import { writeBulkContent, writeNastyContent } from "./golden-content.js";
import { startIsolated } from "./isolated.js";
import { createLoopDisk, mountDevice, showPartitions } from "./loop-disk.js";
import { onHost } from "./network.js";
import { waitFor } from "./scope.js";
const MIB = 1024 * 1024;
const DISK_BYTES = 1200 * MIB;
/** sfdisk(8) script; the last partition takes the rest. xfs wants at least 300 MiB. */
const PARTITIONS = `label: gpt
size=48MiB, type=uefi, name="EFI system"
size=64MiB, type=swap, name="swap"
size=640MiB, type=linux, name="root"
type=linux, name="srv"
`;
const SSH_DEADLINE_MS = 20_000;
/** Makes, fills and starts a golden client. Seconds when the Debian tarball is cached. */
export async function startGoldenClient(scope, options) {
    const { host, say } = options;
    const tarball = await debianTarball(scope, say);
    say(`installing ${host.name} on a disk of ${DISK_BYTES / MIB} MiB`);
    const disk = await createLoopDisk(scope, { name: host.name, sizeBytes: DISK_BYTES });
    const tree = join(scope.directory, host.name);
    const fstab = await makeFileSystems(scope, disk, tree);
    const unpack = ['--extract', '--file', tarball, '--numeric-owner', '--xattrs', '--acls'];
    await run('tar', [...unpack, '--xattrs-include=*', '--directory', tree], { signal: scope.signal });
    await writeNastyContent(scope, join(tree, 'opt/nasty'));
    await writeNastyContent(scope, join(tree, 'srv/nasty'));
    await writeBulkContent(join(tree, 'srv/data'));
    const access = await configure(scope, { host, tree, fstab });
    say(`starting the ssh server of ${host.name}`);
    const system = boot(scope, host, disk, tree);
    const golden = { host, disk, tree, ...access, powerOff: () => system.kill() };
    await waitForSsh(scope, options.from, golden, system);
    return golden;
}
/** Partitions and formats the disk and mounts it on `tree`; the text of its fstab. */
async function makeFileSystems(scope, disk, tree) {
    const { signal } = scope;
    const [swap, root, srv] = [randomUUID(), randomUUID(), randomUUID()];
    await run('sfdisk', ['--quiet', disk.device], { input: PARTITIONS, signal });
    await showPartitions(disk);
    await run('mkfs.vfat', ['-n', 'EFI', disk.partition(1)], { signal });
    await run('mkswap', ['-L', 'swap', '-U', swap, disk.partition(2)], { signal });
    await run('mkfs.ext4', ['-q', '-L', 'root', '-U', root, disk.partition(3)], { signal });
    await run('mkfs.xfs', ['-q', '-L', 'srv', '-m', `uuid=${srv}`, disk.partition(4)], { signal });
    await mountDevice(scope, { device: disk.partition(3), at: tree });
    await mountDevice(scope, { device: disk.partition(4), at: join(tree, 'srv') });
    return [
        `UUID=${root} / ext4 errors=remount-ro 0 1\n`,
        `UUID=${srv} /srv xfs defaults 0 2\n`,
        `UUID=${swap} none swap sw 0 0\n`,
    ].join('');
}
/** Name, fstab, host keys and the key that opens its root account. */
async function configure(scope, machine) {
    const { host, tree } = machine;
    await writeFile(join(tree, 'etc/fstab'), machine.fstab);
    await writeFile(join(tree, 'etc/hostname'), `${host.name}\n`);
    await appendFile(join(tree, 'etc/hosts'), `127.0.0.1 localhost ${host.name}\n`);
    await run('ssh-keygen', ['-A', '-f', tree], { signal: scope.signal });
    const identityFile = join(scope.directory, 'identity');
    const keyOptions = ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', identityFile];
    await run('ssh-keygen', keyOptions, { signal: scope.signal });
    await mkdir(join(tree, 'root/.ssh'), { recursive: true, mode: 0o700 });
    await copyFile(`${identityFile}.pub`, join(tree, 'root/.ssh/authorized_keys'));
    const hostKey = await readFile(join(tree, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8');
    const knownHosts = join(scope.directory, 'known_hosts');
    await writeFile(knownHosts, `${host.name} ${hostKey}`);
    const known = [`UserKnownHostsFile=${knownHosts}`, 'GlobalKnownHostsFile=none'];
    return { identityFile, sshOptions: [...known, 'StrictHostKeyChecking=yes', 'BatchMode=yes'] };
}
/**
 * Arguments: root, host name, disk. The machine sees its own processes and its own disk only: what
 * else the kernel has is hidden, as it would be absent on a machine of its own.
 */
const BOOT = `
root=$1 name=$2 disk=$3
hostname "$name"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
target=$(readlink "/sys/block/\${disk##*/}")
mount -t tmpfs -o mode=755 tmpfs "$root/sys/block"
ln -s "$target" "$root/sys/block/\${disk##*/}"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$disk" "$disk"p? "$root/dev"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/sshd" "$root/run/lock"
cd "$root"
pivot_root . .
umount -l .
exec chroot . /usr/sbin/sshd -D -e
`;
function boot(scope, host, disk, tree) {
    const [program, args] = onHost(host, 'env', ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin']);
    return startIsolated(scope, `the system of ${host.name}`, {
        prefix: [program, ...args],
        script: BOOT,
        args: [tree, host.name, disk.device],
    });
}
async function waitForSsh(scope, from, golden, system) {
    let ended;
    void system.exited.then(({ stderr }) => (ended = stderr));
    const options = golden.sshOptions.flatMap((option) => ['-o', option]);
    const args = [...options, '-i', golden.identityFile, `root@${golden.host.name}`, 'true'];
    await waitFor(`an answer of the ssh server of ${golden.host.name}`, async () => {
        if (ended !== undefined)
            throw new Error(`${golden.host.name} did not start: ${ended}`);
        const { exitCode } = await run(...onHost(from, 'ssh', args), {
            okExitCodes: [0, 255],
            signal: scope.signal,
        });
        return exitCode === 0;
    }, { deadlineMs: SSH_DEADLINE_MS, signal: scope.signal });
}
