// Makes tar streams by hand, so that tests decide about every byte of a header.
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { TarReader } from "../../../src/image/tar-reader.js";
export const END_OF_ARCHIVE = Buffer.alloc(1024);
/** One ustar header block with a right checksum; negative and large numbers become base-256. */
export function header(fields) {
    const block = Buffer.alloc(512);
    const number = (value, offset, length) => {
        const octal = value.toString(8).padStart(length - 1, '0');
        if (value >= 0 && octal.length < length)
            block.write(`${octal}\0`, offset, 'latin1');
        else {
            let rest = BigInt.asUintN(8 * length, BigInt(value));
            for (let i = offset + length - 1; i >= offset; i--) {
                block[i] = Number(rest & 255n);
                rest >>= 8n;
            }
            block[offset] = (block[offset] ?? 0) | 0x80;
        }
    };
    Buffer.from(fields.name ?? './file').copy(block, 0, 0, 100);
    number(fields.mode ?? 0o644, 100, 8);
    number(fields.uid ?? 0, 108, 8);
    number(fields.gid ?? 0, 116, 8);
    number(fields.sizeBytes ?? 0, 124, 12);
    number(fields.mtime ?? 0, 136, 12);
    block.write(fields.typeFlag ?? '0', 156, 'latin1');
    block.write(fields.linkName ?? '', 157, 'latin1');
    block.write(fields.magic ?? 'ustar\x0000', 257, 'latin1');
    number(fields.major ?? 0, 329, 8);
    number(fields.minor ?? 0, 337, 8);
    block.write(fields.prefix ?? '', 345, 'latin1');
    return withChecksum(block);
}
export function withChecksum(block) {
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return block;
}
export function padded(body) {
    const bytes = Buffer.from(body);
    return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}
/** A pax extended header member with these records, in this order. */
export function pax(records, typeFlag = 'x') {
    const body = Buffer.concat(records.map(([key, value]) => {
        const tail = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
        let length = tail.length + 1;
        while (String(length).length + tail.length !== length)
            length++;
        return Buffer.concat([Buffer.from(String(length)), tail]);
    }));
    return Buffer.concat([header({ name: 'pax', typeFlag, sizeBytes: body.length }), padded(body)]);
}
export function file(fields, data) {
    const bytes = Buffer.from(data);
    return Buffer.concat([header({ ...fields, sizeBytes: bytes.length }), padded(bytes)]);
}
/** Reads a whole archive, pushed in parts of `stepBytes`. */
export function readTar(tar, stepBytes = tar.length) {
    const entries = [];
    const notes = [];
    const reader = new TarReader({
        onEntry: (entry) => entries.push(entry),
        onNote: (text) => notes.push(text),
    });
    for (let at = 0; at < tar.length; at += stepBytes)
        reader.push(tar.subarray(at, at + stepBytes));
    reader.end();
    return { entries, notes };
}
export function archive(...members) {
    return Buffer.concat([...members, END_OF_ARCHIVE]);
}
/** The entry of an archive that has only one. */
export function only(...members) {
    const { entries } = readTar(archive(...members));
    assert.equal(entries.length, 1);
    const [entry] = entries;
    assert.ok(entry);
    return entry;
}
/** The extended header before a sparse file of format 1.0. */
export function sparse10(realSize) {
    return pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.name', './holes'],
        ['GNU.sparse.realsize', realSize],
    ]);
}
