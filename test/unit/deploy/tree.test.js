// The writing half of a deployment without a swarm: pieces in random order into a directory, then rsync
// compares. Needs root.
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EntryTableBuilder } from "../../../src/deploy/entry-table-builder.js";
import { createTargetWriter } from "../../../src/deploy/target-writer.js";
import { createDirectories, finishDirectories, finishObjects, finishRoot, } from "../../../src/deploy/tree.js";
import { decodePiece, readManifest } from "../../../src/image/image.js";
import { makeSampleImage } from "../../integration/deploy-sample.js";
import { compareTrees } from "../../lab/compare-trees.js";
import { writeNastyContent } from "../../lab/golden-content.js";
const needsRoot = process.geteuid?.() === 0 ? false : 'needs root';
async function openImage(image) {
    const builder = new EntryTableBuilder();
    const manifest = await readManifest(createReadStream(join(image.directory, 'manifest.jsonl.zst')), (entry) => builder.add(entry));
    return { manifest, table: builder.build() };
}
function shuffle(count) {
    const order = Array.from({ length: count }, (_, index) => index);
    return order.sort((a, b) => ((a * 7919) % 104729) - ((b * 7919) % 104729));
}
async function writeAll(image, target, times) {
    const { manifest, table } = await openImage(image);
    const isFinished = new Uint8Array(table.count);
    const lost = [];
    const root = Buffer.from(target);
    const how = { root, table, isFinished, noteLoss: (name) => lost.push(name) };
    const pack = await readFile(join(image.directory, 'image.tar.zst'));
    const { pieceLengthBytes, pieceCount } = manifest.header;
    for (let time = 0; time < times; time++) {
        isFinished.fill(0);
        createDirectories(root, table);
        const writer = createTargetWriter(how);
        for (const piece of shuffle(pieceCount)) {
            const bytes = pack.subarray(piece * pieceLengthBytes, (piece + 1) * pieceLengthBytes);
            decodePiece(bytes, piece, manifest.chunks, writer.write);
            writer.flush();
        }
        finishObjects(how);
        finishDirectories(how);
        finishRoot(how);
    }
    return { lost, finished: isFinished.reduce((sum, flag) => sum + flag, 0) };
}
test('a tree written in random order is the golden tree in everything', {
    skip: needsRoot,
}, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'si-tree-'));
    try {
        const tree = join(directory, 'golden');
        const signal = AbortSignal.timeout(60_000);
        await writeNastyContent({ id: '', directory, signal, defer() { } }, tree);
        const image = await makeSampleImage({ tree, directory: join(directory, 'image') });
        const target = join(directory, 'target');
        await mkdir(target);
        for (const times of [1, 2]) {
            assert.deepEqual((await writeAll(image, target, times)).lost, []);
            assert.deepEqual(await compareTrees(tree, target, { excludes: [] }), [], `${times} times`);
        }
    }
    finally {
        await rm(directory, { recursive: true, force: true });
    }
});
