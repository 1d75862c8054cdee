import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createHash, randomFillSync } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isSiError } from "../../../src/core/core.js";
import { chunkingFor, decodePiece, imageFilesOf, IMAGE_FILES, verifyPiece, writeImage, } from "../../../src/image/image.js";
import { parseMetainfo } from "../../../src/torrent/torrent.js";
import { FACTS, makeImage, sourceOf, temporaryDirectory } from "./image-fixture.js";
import { END_OF_ARCHIVE, file, header, pax } from "./tar-fixture.js";
const PIECE_BYTES = 64 * 1024;
function randomBytes(length) {
    return randomFillSync(Buffer.alloc(length));
}
/** About a third of it compresses away, as programs do. */
function programBytes(length) {
    const bytes = randomBytes(length);
    for (let i = 0; i < length; i += 3)
        bytes[i] = 65;
    return bytes;
}
function archive(...members) {
    return Buffer.concat([header({ name: './', typeFlag: '5' }), ...members, END_OF_ARCHIVE]);
}
function piecesOf(image) {
    const length = image.header.pieceLengthBytes;
    const count = image.header.pieceCount;
    return Array.from({ length: count }, (_, i) => image.pack.subarray(i * length, (i + 1) * length));
}
/** Decodes every piece alone, last piece first, into its place. */
function decodeAll(image) {
    const tar = Buffer.alloc(image.header.tarBytes);
    for (const [index, piece] of [...piecesOf(image).entries()].reverse()) {
        assert.ok(verifyPiece(piece, index, image.manifest.pieceSha256));
        decodePiece(piece, index, image.manifest.chunks, (offset, plain) => tar.set(plain, offset));
    }
    return tar;
}
test('writeImage() makes pieces that decode alone to the same tar', async (t) => {
    const files = Array.from({ length: 40 }, (_, i) => file({ name: `./f${i}` }, programBytes(1000 + i * 3000)));
    const tar = archive(...files, file({ name: './zeros' }, Buffer.alloc(900_000)));
    for (const readBytes of [Infinity, 10_000, 777]) {
        const image = await makeImage(t, sourceOf(tar, readBytes));
        assert.ok(decodeAll(image).equals(tar));
        assert.equal(image.entries.length, 42);
        assert.equal(image.header.contentBytes, image.entries.reduce((n, e) => n + e.dataBytes, 0));
        assert.equal(image.header.packBytes, image.pack.length);
    }
});
test('writeImage() makes the same pack of the same tar, whatever the number of threads', async (t) => {
    const tar = archive(file({}, programBytes(3_000_000)));
    const one = await makeImage(t, tar, { threads: 1 });
    const three = await makeImage(t, sourceOf(tar, 5000), { threads: 3 });
    assert.ok(one.pack.equals(three.pack));
    assert.ok(one.torrent.equals(three.torrent));
});
test('writeImage() states the SHA-256 of the plain bytes of each chunk', async (t) => {
    const tar = archive(file({}, programBytes(300_000)));
    const { manifest } = await makeImage(t, tar);
    const { chunks } = manifest;
    for (let i = 0; i < chunks.count; i++) {
        const start = chunks.tarOffset[i] ?? 0;
        const plain = tar.subarray(start, start + (chunks.lengthBytes[i] ?? 0));
        const expected = createHash('sha256').update(plain).digest();
        assert.ok(expected.equals(chunks.sha256.subarray(32 * i, 32 * i + 32)));
    }
});
test('writeImage() keeps padding below 2 % where nothing compresses', async (t) => {
    const image = await makeImage(t, archive(file({}, randomBytes(6_000_000))));
    assert.ok(image.header.pieceCount > 80);
    assert.ok(image.paddingBytes < 0.02 * image.header.packBytes, `${image.paddingBytes} bytes`);
    assert.ok(image.pack.length < 1.02 * image.header.tarBytes);
});
test('writeImage() makes a torrent whose pack starts on a piece boundary', async (t) => {
    const image = await makeImage(t, archive(file({}, randomBytes(200_000))));
    const metainfo = parseMetainfo(image.torrent);
    const { manifest, signature, pack } = imageFilesOf(metainfo);
    const manifestBytes = await readFile(join(image.directory, IMAGE_FILES.manifest));
    assert.equal(signature, null);
    assert.deepEqual(manifest, {
        firstPiece: 0,
        pieceCount: 1,
        lengthBytes: manifestBytes.length,
    });
    assert.deepEqual([pack.firstPiece, pack.pieceCount], [1, image.header.pieceCount]);
    const content = Buffer.concat([
        manifestBytes,
        Buffer.alloc(PIECE_BYTES - manifestBytes.length),
        image.pack,
    ]);
    for (let piece = 0; piece < metainfo.pieceCount; piece++) {
        const bytes = content.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES);
        const expected = Buffer.from(metainfo.pieceHashes.subarray(20 * piece, 20 * piece + 20));
        assert.ok(createHash('sha1').update(bytes).digest().equals(expected), `piece ${piece}`);
    }
});
test('writeImage() leaves exactly the files of an image', async (t) => {
    const { directory } = await makeImage(t, archive());
    assert.deepEqual((await readdir(directory)).sort(), [
        'image.tar.zst',
        'image.torrent',
        'manifest.jsonl.zst',
    ]);
});
test('writeImage() shares chunks between versions that differ by one file', async (t) => {
    const files = Array.from({ length: 60 }, (_, i) => file({ name: `./f${i}` }, programBytes(30_000)));
    const before = await makeImage(t, archive(...files));
    const inserted = files.toSpliced(30, 0, file({ name: './new' }, programBytes(5000)));
    const after = await makeImage(t, archive(...inserted));
    const hashesOf = ({ manifest }) => Array.from({ length: manifest.chunks.count }, (_, i) => Buffer.from(manifest.chunks.sha256.subarray(32 * i, 32 * i + 32)).toString('hex'));
    const known = new Set(hashesOf(before));
    const fresh = hashesOf(after).filter((sha256) => !known.has(sha256));
    assert.ok(fresh.length <= 0.1 * after.header.chunkCount, `${fresh.length} new chunks`);
});
test('writeImage() writes a repeated directory once, with its last metadata', async (t) => {
    const many = Array.from({ length: 9000 }, (_, i) => header({ name: `./file-${i}` }));
    const { entries, header: written } = await makeImage(t, archive(header({ name: './srv/', typeFlag: '5', mode: 0o700 }), header({ name: './tail/', typeFlag: '5', mode: 0o700 }), ...many, header({ name: './srv/', typeFlag: '5', mode: 0o755, uid: 7 }), file({ name: './srv/data' }, 'x')));
    assert.equal(written.entryCount, 9004);
    assert.equal(entries.length, 9004);
    assert.deepEqual(entries.slice(0, 3).map((e) => [e.path.toString(), e.mode, e.uid]), [
        ['', 0o644, 0],
        ['srv', 0o755, 7],
        ['tail', 0o700, 0],
    ]);
});
test('writeImage() reports what it could not keep', async (t) => {
    const acl = 'user::rw-,user:alice:r--,group::r--,mask::r--,other::---';
    const image = await makeImage(t, archive(pax([['SCHILY.acl.access', acl]]), header({})));
    assert.equal(image.notes.length, 1);
});
test('writeImage() reports progress in tar bytes', async (t) => {
    const tar = archive(file({}, Buffer.alloc(100_000)));
    const seen = [];
    await makeImage(t, sourceOf(tar, 40_000), { onProgress: (bytes) => seen.push(bytes) });
    assert.deepEqual(seen, [40_000, 80_000, tar.length]);
});
test('writeImage() keeps the chunking of the version before', async (t) => {
    const chunking = chunkingFor(32 * 1024);
    const { header: written } = await makeImage(t, archive(), { chunking });
    assert.deepEqual(written.chunking, chunking);
});
const refusals = [
    {
        name: 'a tar that is cut off',
        tar: archive(file({}, 'x')).subarray(0, 1536),
        code: 'TAR_FORMAT',
    },
    { name: 'an empty stream', tar: Buffer.alloc(0), code: 'TAR_FORMAT' },
    { name: 'a stream that is no tar', tar: Buffer.alloc(4096, 'x'), code: 'TAR_FORMAT' },
    {
        name: 'a member that leaves the root',
        tar: archive(header({ name: '../x' })),
        code: 'UNSAFE_PATH',
    },
    {
        name: 'a member twice',
        tar: archive(header({ name: './x' }), header({ name: './x' })),
        code: 'UNSAFE_PATH',
    },
];
for (const { name, tar, code } of refusals) {
    test(`writeImage() refuses ${name}`, async (t) => {
        await assert.rejects(makeImage(t, tar), (error) => isSiError(error, `ERR_SI_${code}`));
    });
}
for (const pieceLengthBytes of [0, 1000, 8192, 3 * 2 ** 20, 2 ** 30]) {
    test(`writeImage() refuses a piece length of ${pieceLengthBytes}`, async (t) => {
        await assert.rejects(makeImage(t, archive(), { pieceLengthBytes }), (error) => isSiError(error, 'ERR_SI_USAGE'));
    });
}
for (const options of [{ zstdLevel: 0 }, { zstdLevel: 23 }, { threads: 0 }, { threads: 1.5 }]) {
    test(`writeImage() refuses ${JSON.stringify(options)}`, async (t) => {
        await assert.rejects(makeImage(t, archive(), options), (error) => isSiError(error, 'ERR_SI_USAGE'));
    });
}
test('writeImage() refuses a header that no reader would accept', async (t) => {
    const facts = { ...FACTS, createdAt: 'yesterday' };
    await assert.rejects(makeImage(t, archive(), { header: () => Promise.resolve(facts) }), (error) => isSiError(error, 'ERR_SI_MANIFEST_FORMAT'));
});
test('writeImage() refuses chunks that do not fit a piece', async (t) => {
    const chunking = chunkingFor(2 ** 20);
    await assert.rejects(makeImage(t, archive(), { chunking }), (error) => isSiError(error, 'ERR_SI_USAGE'));
});
test('writeImage() passes on what its source throws', async (t) => {
    const source = { read: () => Promise.reject(new Error('connection lost')) };
    await assert.rejects(makeImage(t, source), /connection lost/);
});
test('writeImage() ends at once when aborted, though its source hangs', async (t) => {
    const abort = new AbortController();
    const source = {
        read: () => {
            setImmediate(() => abort.abort());
            return new Promise(() => { });
        },
    };
    await assert.rejects(makeImage(t, source, { signal: abort.signal }), (error) => isSiError(error, 'ERR_SI_ABORTED'));
});
test('writeImage() ends when aborted in the middle of the work', async (t) => {
    const abort = new AbortController();
    const tar = archive(file({}, randomBytes(8_000_000)));
    const onProgress = (bytes) => {
        if (bytes > 4_000_000)
            abort.abort();
    };
    const options = { signal: abort.signal, onProgress };
    await assert.rejects(makeImage(t, sourceOf(tar, 100_000), options), (error) => isSiError(error, 'ERR_SI_ABORTED'));
});
test('writeImage() does not replace an image', async (t) => {
    const directory = await temporaryDirectory(t);
    const write = () => writeImage(sourceOf(archive()), {
        directory,
        torrentName: 'x',
        pieceLengthBytes: PIECE_BYTES,
        threads: 1,
        header: () => Promise.resolve(FACTS),
    });
    await write();
    await assert.rejects(write(), { code: 'EEXIST' });
});
test('decodePiece() refuses a piece whose frames are damaged or longer than stated', async (t) => {
    const image = await makeImage(t, archive(file({}, programBytes(30_000))));
    const { chunks, pieceSha256 } = image.manifest;
    const bad = Buffer.from(image.pack);
    bad[20] = (bad[20] ?? 0) ^ 0xff;
    const ignore = () => { };
    const isDamage = (error) => isSiError(error, 'ERR_SI_INTEGRITY');
    assert.equal(verifyPiece(bad, 0, pieceSha256), false);
    assert.throws(() => decodePiece(bad.subarray(0, 40), 0, chunks, ignore), isDamage);
    for (const difference of [-512, 512]) {
        const lengthBytes = chunks.lengthBytes.map((bytes) => bytes + difference);
        assert.throws(() => decodePiece(image.pack, 0, { ...chunks, lengthBytes }, ignore), isDamage);
    }
    assert.throws(() => decodePiece(image.pack, 99, chunks, ignore), isDamage);
});
test('verifyPiece() is false for an index beyond the last piece', async (t) => {
    const image = await makeImage(t, archive());
    assert.equal(verifyPiece(image.pack, 0, image.manifest.pieceSha256), true);
    assert.equal(verifyPiece(image.pack, 1, image.manifest.pieceSha256), false);
});
