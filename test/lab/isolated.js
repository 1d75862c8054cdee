// Programs in mount and process namespaces of their own: whatever they mount or start is gone as soon
// as they are, however they end.
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf } from "../../src/core/core.js";
import { programFailed, start } from "../../src/host/host.js";
import {} from "./scope.js";
/** Time for unshare to notice that its child has gone. */
const KILLED_GRACE_MS = 100;
/**
 * Starts a shell script isolated (unshare(1): mount, UTS and process namespaces); it is killed with
 * the scope. `prefix` is put before the whole command, such as `ip netns exec NAME`.
 */
export function startIsolated(scope, what, command) {
    const namespaces = [
        '--mount',
        '--propagation=slave',
        '--uts',
        '--pid',
        '--fork',
        '--kill-child',
        '--mount-proc',
    ];
    const shell = ['sh', '-euc', command.script, 'sh', ...command.args];
    const all = [...(command.prefix ?? []), 'unshare', ...namespaces, '--', ...shell];
    const program = start('setsid', all, {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { SI_LAB: scope.id },
    });
    const kill = async () => {
        await killFirstOf(program.process.pid);
        program.process.kill('SIGKILL');
        await program.exited.catch(() => { });
    };
    scope.defer(what, kill);
    return { exited: program.exited, kill };
}
/** Runs an isolated script to its end. Throws ERR_SI_PROGRAM_FAILED, or when interrupted. */
export async function runIsolated(scope, what, command) {
    const program = startIsolated(scope, what, command);
    const onAbort = () => void program.kill();
    scope.signal.addEventListener('abort', onAbort, { once: true });
    const result = await program.exited;
    scope.signal.removeEventListener('abort', onAbort);
    scope.signal.throwIfAborted();
    if (result.exitCode !== 0)
        throw programFailed(what, command.args, result);
}
/**
 * unshare(1) waits for one child: the first process of the process namespace, with which the kernel
 * ends all others. Killed before its parent, so that the parent collects it.
 */
async function killFirstOf(pid) {
    const list = `/proc/${pid}/task/${pid}/children`;
    const children = (await readFile(list, 'utf8').catch(() => '')).split(' ').filter(Boolean);
    for (const child of children) {
        try {
            process.kill(Number(child), 'SIGKILL');
        }
        catch (error) {
            if (errnoOf(error) !== 'ESRCH')
                throw error;
        }
    }
    if (children.length > 0)
        await delay(KILLED_GRACE_MS);
}
