import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { isSiError } from "../../../src/core/core.js";
import { archive, file, header, only, padded, pax, readTar, sparse10 } from "./tar-fixture.js";
const SPARSE_RESULT = {
    sizeBytes: 100_000,
    dataBytes: 1536 - 12,
    sparse: [
        { offset: 1024, length: 1024 },
        { offset: 99_500, length: 500 },
    ],
};
const SPARSE_DATA = Buffer.alloc(1524, 'd');
function pickSparse(entry) {
    return { sizeBytes: entry.sizeBytes, dataBytes: entry.dataBytes, sparse: entry.sparse };
}
test('TarReader reads sparse maps of format 0.0', () => {
    const records = pax([
        ['GNU.sparse.size', '100000'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.offset', '1024'],
        ['GNU.sparse.numbytes', '1024'],
        ['GNU.sparse.offset', '99500'],
        ['GNU.sparse.numbytes', '500'],
    ]);
    assert.deepEqual(pickSparse(only(records, file({}, SPARSE_DATA))), SPARSE_RESULT);
});
test('TarReader reads sparse maps of format 0.1', () => {
    const records = pax([
        ['GNU.sparse.size', '100000'],
        ['GNU.sparse.map', '1024,1024,99500,500,100000,0'],
    ]);
    assert.deepEqual(pickSparse(only(records, file({}, SPARSE_DATA))), SPARSE_RESULT);
});
test('TarReader reads sparse maps of format 1.0 in front of the data', () => {
    const map = padded('2\n1024\n1024\n99500\n500\n');
    const entry = only(sparse10('100000'), file({ name: './x' }, Buffer.concat([map, SPARSE_DATA])));
    assert.deepEqual(pickSparse(entry), SPARSE_RESULT);
    assert.equal(entry.path.toString(), 'holes');
    assert.equal(entry.dataOffset, 4 * 512);
});
test('TarReader reads a sparse map of many blocks', () => {
    const count = 5000;
    const lines = Array.from({ length: count }, (_, i) => `${i * 4096}\n512\n`).join('');
    const map = padded(`${count}\n${lines}`);
    const data = Buffer.alloc(count * 512);
    const tar = archive(sparse10(String(count * 4096)), file({}, Buffer.concat([map, data])), header({ name: './next' }));
    for (const step of [tar.length, 700]) {
        const { entries } = readTar(tar, step);
        assert.equal(entries[0]?.sparse?.length, count);
        assert.equal(entries[0]?.dataOffset, 3 * 512 + map.length);
        assert.equal(entries[1]?.path.toString(), 'next');
    }
});
const HOSTILE = [
    [
        'sparse extents that overlap',
        [
            pax([
                ['GNU.sparse.size', '2048'],
                ['GNU.sparse.map', '0,512,0,512'],
            ]),
            file({}, Buffer.alloc(1024)),
        ],
    ],
    [
        'sparse extents beyond the file',
        [
            pax([
                ['GNU.sparse.size', '100'],
                ['GNU.sparse.map', '0,512'],
            ]),
            file({}, Buffer.alloc(512)),
        ],
    ],
    [
        'sparse extents that do not add up',
        [
            pax([
                ['GNU.sparse.size', '4096'],
                ['GNU.sparse.map', '0,512'],
            ]),
            file({}, Buffer.alloc(1024)),
        ],
    ],
    ['a sparse map without an end', [sparse10('4096'), file({}, Buffer.alloc(2048, '1\n'))]],
    ['a sparse map that is missing', [sparse10('4096'), header({})]],
];
for (const [name, members] of HOSTILE) {
    test(`TarReader refuses ${name}`, () => {
        assert.throws(() => readTar(archive(...members)), (error) => isSiError(error, 'ERR_SI_TAR_FORMAT'));
    });
}
