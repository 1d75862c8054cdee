// A deployed disk beside the golden one: mounted read-only as the golden client's tree is, and
// compared with it, files and file systems alike.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from "../../src/host/host.js";
import { compareTrees } from "./compare-trees.js";
import {} from "./golden-client.js";
import { mountDevice, showPartitions } from "./loop-disk.js";
import {} from "./scope.js";
/** Left out by si-getimage: each machine makes its own. rsync patterns. */
const EXCLUDED = ['/tmp/*', '/etc/machine-id', '/etc/ssh/ssh_host_*', 'lost+found'];
/** Where the running golden client has mounted something that is on no disk. */
const MOUNTED_OVER = ['proc', 'sys', 'dev', 'run'];
/**
 * The differences between a deployed disk and the golden client's, one a line; empty when it is the
 * same machine again. The excluded paths are not compared.
 */
export async function compareWithGolden(scope, golden, copy) {
    const tree = join(scope.directory, copy.name);
    await showPartitions(copy.disk);
    await mountDevice(scope, { device: copy.disk.partition(3), at: tree, options: ['ro'] });
    // The golden disk's xfs is mounted too, and has the same UUID.
    const srv = { device: copy.disk.partition(4), at: join(tree, 'srv'), options: ['ro', 'nouuid'] };
    await mountDevice(scope, srv);
    const excludes = [...EXCLUDED, ...MOUNTED_OVER.map((path) => `/${path}`)];
    const inFiles = await compareTrees(golden.tree, tree, { excludes, signal: scope.signal });
    const inFolders = [];
    for (const path of MOUNTED_OVER) {
        const isThere = await stat(join(tree, path)).then((stats) => stats.isDirectory(), () => false);
        if (!isThere)
            inFolders.push(`missing folder /${path}`);
    }
    const inDisks = [];
    for (const number of [1, 2, 3, 4]) {
        const wanted = await describeFileSystem(golden.disk.partition(number));
        const found = await describeFileSystem(copy.disk.partition(number));
        if (wanted !== found)
            inDisks.push(`partition ${number} holds ${found}, not ${wanted}`);
    }
    return [...inDisks, ...inFolders, ...inFiles];
}
/** Type, UUID and label, which boot loader and fstab depend on. */
async function describeFileSystem(partition) {
    const tags = ['TYPE', 'UUID', 'LABEL', 'PART_ENTRY_TYPE', 'PART_ENTRY_NAME'];
    const args = ['--probe', '--output', 'export', ...tags.flatMap((tag) => ['--match-tag', tag])];
    const { stdout } = await run('blkid', [...args, partition], { okExitCodes: [0, 2] });
    return stdout
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('DEVNAME='))
        .join(' ');
}
