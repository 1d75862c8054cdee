// The demo as a user runs it: it shows what it promises, and leaves nothing behind, finished or not.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { findLeftovers } from "../lab/leftovers.js";
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root';
const DEADLINE_MS = 240_000;
describe('examples/demo.ts', { skip }, () => {
    test('deploys identical nodes, prints their table and leaves nothing behind', async (t) => {
        const demo = startDemo(t);
        assert.deepEqual(await demo.exited, [0, null], demo.text());
        const text = demo.text();
        assert.match(text, /node +seconds +MB\/s +from server +from peers +× fluid limit/);
        for (const name of ['node01', 'node02', 'node03']) {
            assert.match(text, new RegExp(`^ +${name} +[\\d.]+ +[\\d.]+ +[\\d.]+ MiB +[\\d.]+ MiB +`, 'm'));
        }
        assert.match(text, /every node is identical to golden01/);
        assert.deepEqual(await findLeftovers(demo.id), []);
    });
    const moments = [
        ['while the golden client starts', /installing golden01/],
        ['while it captures', /si-getimage golden01/],
        ['while the nodes write', /node0\d: writing/],
    ];
    for (const [title, moment] of moments) {
        test(`leaves nothing behind when interrupted ${title}`, async (t) => {
            const demo = startDemo(t);
            await demo.says(moment);
            demo.interrupt();
            assert.deepEqual(await demo.exited, [130, null], demo.text());
            assert.deepEqual(await findLeftovers(demo.id), []);
            const files = await readdir(tmpdir());
            assert.deepEqual(files.filter((name) => name.startsWith(`${demo.id}-`)), []);
        });
    }
});
function startDemo(t) {
    const script = join(import.meta.dirname, '../../examples/demo.ts');
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGINT'), DEADLINE_MS);
    t.after(() => {
        clearTimeout(timer);
        child.kill('SIGKILL');
    });
    let text = '';
    const onData = (data) => (text += data.toString('utf8'));
    child.stdout.on('data', onData);
    child.stderr.on('data', onData);
    const exited = once(child, 'close');
    return {
        id: `si${child.pid}`,
        exited,
        text: () => text,
        interrupt: () => child.kill('SIGINT'),
        async says(pattern) {
            while (!pattern.test(text)) {
                const isOver = (await Promise.race([once(child.stdout, 'data'), exited])).length === 2;
                assert.ok(!isOver, `ended before it said ${String(pattern)}: ${text}`);
            }
        },
    };
}
