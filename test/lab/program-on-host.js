// Programs that run on a host of the lab's network, with their words kept in a log file, and ended
// with the scope.
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { run, start } from "../../src/host/host.js";
import { onHost } from "./network.js";
import { waitFor } from "./scope.js";
/** A program that ignores SIGTERM for longer than this is killed. */
const TERM_GRACE_MS = 10_000;
const LAST_WORDS_BYTES = 2000;
/**
 * Starts a program on a host. It is ended when the scope ends. In a session of its own: a Ctrl-C in
 * the terminal reaches only us, and we end the program once.
 */
export function startOnHost(scope, host, options) {
    const [program, args] = onHost(host, options.program, options.args);
    const started = start('setsid', [program, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { SI_LAB: scope.id },
    });
    const pid = started.process.pid;
    scope.defer(`${options.program} on ${host.name} (process ${pid})`, () => end(started));
    let lastWords = '';
    const log = createWriteStream(join(scope.directory, `${host.name}-${pid}.log`));
    log.on('error', () => { }); // the folder goes away with the scope
    started.process.stderr?.on('data', (data) => {
        lastWords = (lastWords + data.toString('utf8')).slice(-LAST_WORDS_BYTES);
        log.write(data);
    });
    started.process.stdout?.setEncoding('utf8').on('data', splitLines(options.onLine ?? (() => { })));
    const ended = started.exited.then(({ exitCode }) => exitCode).finally(() => log.end());
    const exited = Promise.race([ended, rejectWhenAborted(scope.signal)]);
    exited.catch(() => { }); // may be awaited later, or never
    return { exited, lastWords: () => lastWords.trim(), stop: (signal) => end(started, signal) };
}
/** Runs a program on a host to its end; its standard output. Throws as `run` does. */
export async function runOnHost(scope, host, options) {
    const [program, args] = onHost(host, options.program, options.args);
    return (await run(program, args, { signal: scope.signal })).stdout;
}
async function end(started, signal = 'SIGTERM') {
    const timer = setTimeout(() => started.process.kill('SIGKILL'), TERM_GRACE_MS);
    started.process.kill(signal);
    await started.exited.catch(() => { });
    clearTimeout(timer);
}
function splitLines(onLine) {
    let rest = '';
    return (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines)
            onLine(line);
    };
}
function rejectWhenAborted(signal) {
    return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
}
const HTTP_DEADLINE_MS = 20_000;
const FETCH = `fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))`;
/** Waits until a URL answers with success, asked from this host; throws when its server has ended. */
export async function waitForHttp(scope, from, url, server) {
    let endedWith;
    server.exited.then((exitCode) => (endedWith = exitCode), () => { });
    await waitFor(`an answer of ${url}`, async () => {
        if (endedWith !== undefined) {
            throw new Error(`The server of ${url} ended with ${endedWith}: ${server.lastWords()}`);
        }
        const [program, args] = onHost(from, process.execPath, ['--eval', FETCH, url]);
        const options = { okExitCodes: [0, 1], signal: scope.signal };
        return (await run(program, args, options)).exitCode === 0;
    }, { deadlineMs: HTTP_DEADLINE_MS, signal: scope.signal });
}
