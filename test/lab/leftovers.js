// What a run has left on the machine: the oracle for every test of clean-up. Looks at the kernel's and
// the file system's own lists, not at our records.
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { run } from "../../src/host/host.js";
/** Namespaces, mounts, loop devices, processes and folders of the run with this id. */
export async function findLeftovers(id) {
    const namespaces = (await run('ip', ['netns', 'list'])).stdout.split('\n');
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n');
    const loops = (await run('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE']))
        .stdout;
    const folders = await readdir('/etc/netns').catch(() => []);
    const files = await readdir(tmpdir());
    const ours = (line) => line.includes(`${id}-`);
    return [
        ...namespaces.filter(ours).map((line) => `namespace ${line}`),
        ...mounts.filter(ours).map((line) => `mount ${line}`),
        ...loops
            .split('\n')
            .filter(ours)
            .map((line) => `loop device ${line}`),
        ...(await findProcesses(id)).map((pid) => `process ${pid}`),
        ...folders.filter(ours).map((name) => `folder /etc/netns/${name}`),
        ...files.filter(ours).map((name) => `folder ${name}`),
    ];
}
/** Programs of the lab carry the id of their run in the variable SI_LAB. */
export async function findProcesses(id) {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const found = [];
    for (const pid of pids) {
        const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
        if (environment.split('\0').includes(`SI_LAB=${id}`))
            found.push(pid);
    }
    return found;
}
