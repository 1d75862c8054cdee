import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Chunker, chunkingFor, hashBlock, } from "../../../src/image/chunker.js";
const BLOCK_WORDS = 128;
const CHUNKING = chunkingFor(64 * 1024);
function randomWords(blocks, seed) {
    let state = seed | 1;
    return Int32Array.from({ length: blocks * BLOCK_WORDS }, () => {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return state;
    });
}
/** Lengths of all chunks, the stream arriving `stepBlocks` at a time. */
function chunksOf(words, chunking, stepBlocks = Infinity) {
    const chunker = new Chunker(chunking);
    const lengths = [];
    const blocks = words.length / BLOCK_WORDS;
    let start = 0;
    for (let seen = Math.min(stepBlocks, blocks);; seen = Math.min(seen + stepBlocks, blocks)) {
        for (;;) {
            const bytes = chunker.next(words, start, seen * BLOCK_WORDS);
            if (bytes === 0)
                break;
            lengths.push(bytes);
            start += bytes / 4;
        }
        if (seen === blocks)
            break;
    }
    if (start < words.length)
        lengths.push((words.length - start) * 4);
    return lengths;
}
test('chunkingFor() gives a sixteenth of the piece, a quarter and four times of that', () => {
    assert.deepEqual(chunkingFor(2 ** 20), {
        averageBytes: 65536,
        minimumBytes: 16384,
        maximumBytes: 262144,
    });
    assert.deepEqual(chunkingFor(16384), {
        averageBytes: 1024,
        minimumBytes: 512,
        maximumBytes: 4096,
    });
});
test('hashBlock() is the function of FORMAT.md', () => {
    const mask = 0xffffffffn;
    const words = randomWords(1, 42);
    const factor = 0x9e3779b1n;
    const lanes = [0n, 0n, 0n, 0n];
    words.forEach((word, i) => {
        lanes[i % 4] = ((lanes[i % 4] ?? 0n) * factor + BigInt(word >>> 0)) & mask;
    });
    let h = lanes.reduce((sum, lane) => (sum * factor + lane) & mask);
    h = ((h ^ (h >> 15n)) * 0x85ebca77n) & mask;
    h = ((h ^ (h >> 13n)) * 0xc2b2ae3dn) & mask;
    h ^= h >> 16n;
    assert.equal(hashBlock(words, 0) >>> 0, Number(h));
});
test('Chunker keeps all lengths between minimum and maximum and near the average', () => {
    const chunking = chunkingFor(2 ** 20);
    const { averageBytes, minimumBytes, maximumBytes } = chunking;
    const inner = chunksOf(randomWords(40_000, 7), chunking).slice(0, -1);
    assert.ok(inner.every((bytes) => bytes >= minimumBytes && bytes <= maximumBytes));
    assert.ok(inner.every((bytes) => bytes % 512 === 0));
    const average = inner.reduce((sum, bytes) => sum + bytes, 0) / inner.length;
    assert.ok(average > 0.85 * averageBytes && average < 1.15 * averageBytes);
});
test('Chunker gives runs of equal blocks the maximum length, whatever they hold', () => {
    const block = randomWords(1, 3);
    for (const content of [new Int32Array(BLOCK_WORDS), block]) {
        const words = new Int32Array(400 * BLOCK_WORDS);
        for (let i = 0; i < words.length; i += BLOCK_WORDS)
            words.set(content, i);
        const lengths = chunksOf(words, CHUNKING);
        assert.ok(lengths.slice(0, -1).every((bytes) => bytes === CHUNKING.maximumBytes));
    }
});
test('Chunker gives the same chunks however the stream arrives', () => {
    const words = randomWords(600, 11);
    const whole = chunksOf(words, CHUNKING);
    fc.assert(fc.property(fc.integer({ min: 1, max: 300 }), (step) => {
        assert.deepEqual(chunksOf(words, CHUNKING, step), whole);
    }));
});
test('Chunker changes only chunks near an insertion', () => {
    const words = randomWords(4000, 13);
    const at = 1000 * BLOCK_WORDS;
    const changed = new Int32Array(words.length + 6 * BLOCK_WORDS);
    changed.set(words.subarray(0, at));
    changed.set(randomWords(6, 99), at);
    changed.set(words.subarray(at), at + 6 * BLOCK_WORDS);
    const identities = (data) => {
        let start = 0;
        return chunksOf(data, CHUNKING).map((bytes) => {
            const text = data.subarray(start, start + bytes / 4).join();
            start += bytes / 4;
            return text;
        });
    };
    const before = new Set(identities(words));
    const fresh = identities(changed).filter((chunk) => !before.has(chunk));
    assert.ok(fresh.length <= 8, `${fresh.length} new chunks`);
});
