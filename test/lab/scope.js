// Everything a run makes outside of its own memory (namespaces, mounts, loop devices, programs,
// folders) belongs to a scope, which takes it away in reverse order: at the end, on a failure and
// when interrupted. A release is registered before its thing is made, so it must accept absence.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, SiError } from "../../src/core/core.js";
import { sweepDeadRuns } from "./sweep.js";
/** How long the body may take to notice that it was interrupted before clean-up begins regardless. */
const BODY_GRACE_MS = 15_000;
/**
 * Runs `body` with a scope and releases it afterwards. SIGINT, SIGTERM, SIGHUP and uncaught errors
 * end the body early, as does an event loop with nothing left to wait for; a second signal ends the process at once and leaves things behind.
 * Rejects as the body does, or with an AggregateError naming what could not be taken away.
 */
export async function withScope(body) {
    const controller = new AbortController();
    const stopListening = endOnSignals(controller);
    const releases = [];
    try {
        await sweepDeadRuns();
        const id = `si${process.pid}`;
        const directory = await mkdtemp(join(tmpdir(), `${id}-`));
        const scope = {
            id,
            directory,
            signal: controller.signal,
            defer: (what, release) => releases.push({ what, release }),
        };
        scope.defer(directory, () => rm(directory, { recursive: true, force: true, maxRetries: 3 }));
        return await endEarly(body(scope), controller.signal);
    }
    finally {
        await releaseAll(releases);
        stopListening();
    }
}
/** Settles as `body` does; when interrupted, rejects once the body has ended or its grace is over. */
async function endEarly(body, signal) {
    const grace = new AbortController();
    const interrupted = new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
            const graceOver = delay(BODY_GRACE_MS, undefined, { signal: grace.signal });
            const bodyOver = body.catch(() => { }).finally(() => grace.abort());
            void Promise.race([bodyOver, graceOver.catch(() => { })]).then(() => {
                reject(signal.reason);
            });
        });
    });
    try {
        return await Promise.race([body, interrupted]);
    }
    catch (error) {
        throw signal.aborted ? signal.reason : error;
    }
}
async function releaseAll(releases) {
    const failures = [];
    for (let last = releases.pop(); last !== undefined; last = releases.pop()) {
        const { what, release } = last;
        await release().catch((cause) => {
            failures.push(new Error(`Cannot take away ${what}: ${messageOf(cause)}`, { cause }));
        });
    }
    if (failures.length > 0) {
        throw new AggregateError(failures, failures.map((failure) => failure.message).join('; '));
    }
}
function endOnSignals(controller) {
    const onSignal = (name) => {
        if (controller.signal.aborted) {
            process.stderr.write(`\n${name} again: leaving without cleaning up\n`);
            process.exit(130);
        }
        process.stderr.write(`\n${name}: cleaning up; once more leaves at once\n`);
        controller.abort(new SiError('ERR_SI_ABORTED', `Interrupted by ${name}`));
    };
    const onError = (error) => controller.abort(error);
    // The event loop is empty, yet the body has not ended: it never would.
    const onHalt = () => controller.abort(new Error('The run waits for what cannot happen any more'));
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const name of signals)
        process.on(name, onSignal);
    process.on('uncaughtException', onError);
    process.on('unhandledRejection', onError);
    process.on('beforeExit', onHalt);
    return () => {
        for (const name of signals)
            process.off(name, onSignal);
        process.off('uncaughtException', onError);
        process.off('unhandledRejection', onError);
        process.off('beforeExit', onHalt);
    };
}
/** Waits until `isTrue` holds, asking every 50 ms. Throws after `deadlineMs`, naming `what`. */
export async function waitFor(what, isTrue, options) {
    const endMs = performance.now() + options.deadlineMs;
    while (!(await isTrue())) {
        options.signal?.throwIfAborted();
        if (performance.now() > endMs) {
            throw new Error(`${what} did not happen within ${options.deadlineMs / 1000} s`);
        }
        await delay(50);
    }
}
