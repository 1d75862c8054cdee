var __addDisposableResource = (this && this.__addDisposableResource) || function (env, value, async) {
    if (value !== null && value !== void 0) {
        if (typeof value !== "object" && typeof value !== "function") throw new TypeError("Object expected.");
        var dispose, inner;
        if (async) {
            if (!Symbol.asyncDispose) throw new TypeError("Symbol.asyncDispose is not defined.");
            dispose = value[Symbol.asyncDispose];
        }
        if (dispose === void 0) {
            if (!Symbol.dispose) throw new TypeError("Symbol.dispose is not defined.");
            dispose = value[Symbol.dispose];
            if (async) inner = dispose;
        }
        if (typeof dispose !== "function") throw new TypeError("Object not disposable.");
        if (inner) dispose = function() { try { inner.call(this); } catch (e) { return Promise.reject(e); } };
        env.stack.push({ value: value, dispose: dispose, async: async });
    }
    else if (async) {
        env.stack.push({ async: true });
    }
    return value;
};
var __disposeResources = (this && this.__disposeResources) || (function (SuppressedError) {
    return function (env) {
        function fail(e) {
            env.error = env.hasError ? new SuppressedError(e, env.error, "An error was suppressed during disposal.") : e;
            env.hasError = true;
        }
        var r, s = 0;
        function next() {
            while (r = env.stack.pop()) {
                try {
                    if (!r.async && s === 1) return s = 0, env.stack.push(r), Promise.resolve().then(next);
                    if (r.dispose) {
                        var result = r.dispose.call(r.value);
                        if (r.async) return s |= 2, Promise.resolve(result).then(next, function(e) { fail(e); return next(); });
                    }
                    else s |= 1;
                }
                catch (e) {
                    fail(e);
                }
            }
            if (s === 1) return env.hasError ? Promise.reject(env.error) : Promise.resolve();
            if (env.hasError) throw env.error;
        }
        return next();
    };
})(typeof SuppressedError === "function" ? SuppressedError : function (error, suppressed, message) {
    var e = new Error(message);
    return e.name = "SuppressedError", e.error = error, e.suppressed = suppressed, e;
});
// What is hard to copy faithfully, for the golden client's disk: each line of the scripts below is
// one case that a careless imager loses.
import { randomFillSync } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from "../../src/host/host.js";
import {} from "./scope.js";
/** Data that does not compress, so that the swarm has something to carry. */
const BULK_FILES = 3;
const BULK_FILE_BYTES = 12 * 1024 * 1024;
const SMALL_FILES = 300;
/** Argument: the folder to fill. Works on ext4 and xfs. */
const NASTY = `
mkdir -p "$1" && cd "$1"
mkdir -p links/a links/b && echo shared >links/a/one && ln links/a/one links/b/two
ln links/a/one "links/zz last name" && ln -s one links/a/symbolic && ln -P links/a/symbolic links/b/hard-to-symbolic
ln -s /nowhere/at/all links/dangling && ln -s ../../../.. links/up
truncate -s 64M sparse && printf start | dd of=sparse conv=notrunc status=none
printf middle | dd of=sparse bs=1M seek=31 conv=notrunc status=none
truncate -s 8M only-a-hole
echo acl >acl && setfacl -m u:1234:rw,g:4321:r acl
mkdir acl-default && setfacl -m d:u:1234:rwx,u:1234:rx acl-default
echo attributes >attributes && setfattr -n user.text -v 'some words' attributes
setfattr -n user.binary -v 0x00ff80c3280a attributes && setfattr -n trusted.lab -v 0xfe attributes
mkdir attributes.d && setfattr -n user.of-a-directory -v yes attributes.d
cp -p /bin/true capable && setcap cap_net_raw,cap_net_bind_service+ep capable
cp -p /bin/true setuid && chmod 4755 setuid && cp -p /bin/true setgid && chmod 2711 setgid
mkdir sticky && chmod 1777 sticky && mkdir closed && chmod 000 closed
echo secret >unreadable && chmod 000 unreadable
: >empty && mkdir empty.d
printf 'latin1' >"$(printf 'caf\\351')" && printf x >"$(printf 'two\\nlines')" && printf x >' leading' && printf x >'back\\slash'
printf x >"$(printf 'control\\001\\033[31m')" && printf x >-dash && printf x >'$(quote)"\\'\\'''
long=$(printf '%0250d' 7) && printf long >"$long" && mkdir -p "$long.d/$long" && printf deep >"$long.d/$long/file"
echo mine >owner && chown 3000000:4000000000 owner
echo future >future && touch -d '2040-02-03 04:05:06.123456789 UTC' future
echo past >past && touch -d '1969-12-31 23:59:58.000000001 UTC' past
mknod character c 1 3 && mknod block b 7 250 && mkfifo fifo && chmod 640 character
touch -h -d '2001-02-03 04:05:06.987654321 UTC' links/dangling
touch -d '2002-02-03 04:05:06.500000001 UTC' acl-default links/a attributes.d
`;
/** Fills `directory` with the hard cases. */
export async function writeNastyContent(scope, directory) {
    await run('sh', ['-euc', NASTY, 'sh', directory], { signal: scope.signal });
}
/** Fills `directory` with many small files and a few large ones of random bytes. */
export async function writeBulkContent(directory) {
    await mkdir(join(directory, 'small'), { recursive: true });
    const bytes = Buffer.alloc(BULK_FILE_BYTES);
    for (let i = 0; i < BULK_FILES; i++) {
        await writeWhole(join(directory, `bulk-${i}`), randomFillSync(bytes));
    }
    for (let i = 0; i < SMALL_FILES; i++) {
        const file = bytes.subarray(i * 4096, i * 4096 + i * 37);
        await writeWhole(join(directory, 'small', `file-${i}`), file);
    }
}
async function writeWhole(path, bytes) {
    const env_1 = { stack: [], error: void 0, hasError: false };
    try {
        const file = __addDisposableResource(env_1, await open(path, 'w'), true);
        await file.writeFile(bytes);
    }
    catch (e_1) {
        env_1.error = e_1;
        env_1.hasError = true;
    }
    finally {
        const result_1 = __disposeResources(env_1);
        if (result_1)
            await result_1;
    }
}
