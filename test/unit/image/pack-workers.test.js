import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSiError } from "../../../src/core/core.js";
import { FreeList } from "../../../src/image/free-list.js";
import { chunkingFor } from "../../../src/image/chunker.js";
import { createWindowMemory, PackWindow, windowSizeFor } from "../../../src/image/pack-window.js";
import { PackWorkers } from "../../../src/image/pack-workers.js";
function createWorkers(onFailure = () => { }) {
    const memory = createWindowMemory(windowSizeFor(chunkingFor(64 * 1024)));
    const pieces = [new SharedArrayBuffer(64 * 1024)];
    const workers = new PackWorkers(2, { windows: [memory], pieces, zstdLevel: 3 }, onFailure);
    return { workers, window: new PackWindow(memory) };
}
test('PackWorkers compress a window in place', async () => {
    const { workers, window } = createWorkers();
    window.plain.fill(97, 0, 1024);
    window.addChunk(0, 512);
    window.addChunk(512, 512);
    await workers.run({ kind: 'window', index: 0, chunkCount: 2 });
    assert.deepEqual(window.frame(0), window.frame(1));
    assert.deepEqual(window.hash(0), window.hash(1));
    assert.ok(window.frame(0).length > 8 && window.frame(0).length < 100);
    await workers.close();
});
test('PackWorkers tell of a thread that fails, and refuse work afterwards', async () => {
    const failures = [];
    const { workers } = createWorkers((error) => failures.push(error));
    const isInternal = (error) => isSiError(error, 'ERR_SI_INTERNAL');
    const task = { kind: 'window', index: 7, chunkCount: 1 };
    await assert.rejects(workers.run(task), isInternal);
    assert.equal(failures.length, 1);
    await assert.rejects(workers.run({ kind: 'piece', index: 0, lengthBytes: 10 }), isInternal);
    await workers.close();
});
test('PackWorkers reject what is under way when they are told to fail', async () => {
    const { workers } = createWorkers();
    const running = workers.run({ kind: 'piece', index: 0, lengthBytes: 10 });
    workers.fail(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
    await workers.close();
});
test('FreeList lends in turn and rejects who waits when it fails', async () => {
    const list = new FreeList([1]);
    assert.equal(await list.take(), 1);
    const second = list.take();
    const third = list.take();
    list.give(2);
    assert.equal(await second, 2);
    list.fail(new Error('over'));
    await assert.rejects(third, /over/);
    await assert.rejects(list.take(), /over/);
});
