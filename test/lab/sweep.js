// Takes away what runs left behind that could not do it themselves: killed with SIGKILL, or the machine's
// out-of-memory killer. A run whose process lives is never touched.
import { readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf } from "../../src/core/core.js";
import { run } from "../../src/host/host.js";
import { findProcesses } from "./leftovers.js";
/** Time for killed programs to let go of their files. */
const KILLED_GRACE_MS = 300;
/** Sweeps all dead runs of this machine. What is still busy is left for the next time. */
export async function sweepDeadRuns() {
    if (process.getuid?.() !== 0)
        return;
    for (const name of await readdir(tmpdir())) {
        const match = /^si(\d+)-\w{6}$/.exec(name);
        if (match === null || isAlive(Number(match[1])))
            continue;
        await sweep(`si${match[1]}`, join(tmpdir(), name)).catch(() => { });
    }
}
function isAlive(pid) {
    try {
        return process.kill(pid, 0);
    }
    catch (error) {
        return errnoOf(error) !== 'ESRCH';
    }
}
async function sweep(id, directory) {
    const pids = await findProcesses(id);
    for (const pid of pids)
        process.kill(Number(pid), 'SIGKILL');
    if (pids.length > 0)
        await delay(KILLED_GRACE_MS);
    for (const mountPoint of (await mountsFrom(directory)).reverse()) {
        await run('umount', [mountPoint]);
    }
    const { stdout } = await run('losetup', ['--noheadings', '--output', 'NAME,BACK-FILE', '--list']);
    for (const line of stdout.split('\n')) {
        const [device, file] = line.split(/\s+/);
        if (device === undefined || file?.startsWith(`${directory}/`) !== true)
            continue;
        await run('partx', ['--delete', device], { okExitCodes: [0, 1] });
        await run('losetup', ['--detach', device]);
    }
    const namespaces = (await run('ip', ['netns', 'list'])).stdout.split('\n');
    for (const name of namespaces.map((line) => line.split(' ')[0] ?? '')) {
        if (!name.startsWith(`${id}-`))
            continue;
        await run('ip', ['netns', 'delete', name]);
        await rm(join('/etc/netns', name), { recursive: true, force: true });
    }
    if ((await mountsFrom(directory)).length === 0)
        await rm(directory, { recursive: true });
}
/** In the order in which they were mounted. */
async function mountsFrom(directory) {
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n');
    const points = mounts.map((line) => line.split(' ')[1] ?? '');
    return points.filter((point) => `${point}/`.startsWith(`${directory}/`));
}
