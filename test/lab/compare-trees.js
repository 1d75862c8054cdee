// Compares two file trees in everything a file system keeps: content, owners, modes, times to the
// nanosecond, hard links, ACLs, extended attributes, device numbers. rsync does it, not our own code.
import { run } from "../../src/host/host.js";
/**
 * The differences as rsync itemises them, one a line; empty when the trees are identical outside of
 * `excludes` (rsync patterns, anchored at the tree when they begin with a slash).
 */
export async function compareTrees(golden, copy, options) {
    const what = ['-aHAXn', '--checksum', '--delete', '--numeric-ids', '--modify-window=-1'];
    const excludes = options.excludes.map((pattern) => `--exclude=${pattern}`);
    const args = [...what, '--itemize-changes', ...excludes, `${golden}/`, `${copy}/`];
    const { stdout } = await run('rsync', args, { signal: options.signal });
    return stdout.split('\n').filter((line) => line !== '');
}
