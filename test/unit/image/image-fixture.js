// Writes small images into temporary folders, from tar bytes in memory.
import { Buffer } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IMAGE_FILES, readManifest, writeImage, } from "../../../src/image/image.js";
export const FACTS = {
    name: 'web',
    version: '1',
    createdAt: '2026-01-31T12:00:00.000Z',
    source: { host: 'h', operatingSystem: 'Debian', architecture: 'x86_64', kernel: '6.1' },
    boot: { method: 'none' },
    layout: null,
    fstab: '',
    excludes: ['./proc/*'],
    changedFiles: [],
};
/** Gives out `tar` in reads of at most `readBytes`. */
export function sourceOf(tar, readBytes = Infinity) {
    let at = 0;
    return {
        read(into) {
            const part = tar.subarray(at, at + Math.min(into.length, readBytes));
            into.set(part);
            at += part.length;
            return Promise.resolve(part.length);
        },
    };
}
export async function temporaryDirectory(t) {
    const directory = await mkdtemp(join(tmpdir(), 'si-image-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    return directory;
}
/** Writes an image and reads it back through the manifest reader. */
export async function makeImage(t, tar, options = {}) {
    const directory = await temporaryDirectory(t);
    const written = await writeImage(Buffer.isBuffer(tar) ? sourceOf(tar) : tar, {
        directory,
        torrentName: 'web-1',
        pieceLengthBytes: 64 * 1024,
        threads: 2,
        header: () => Promise.resolve(FACTS),
        ...options,
    });
    const entries = [];
    const stream = createReadStream(join(directory, IMAGE_FILES.manifest));
    const manifest = await readManifest(stream, (entry) => entries.push(entry));
    const pack = await readFile(join(directory, IMAGE_FILES.pack));
    return { ...written, directory, pack, manifest, entries };
}
