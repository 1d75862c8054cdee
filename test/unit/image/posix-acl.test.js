import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePosixAcl } from "../../../src/image/posix-acl.js";
test('encodePosixAcl() gives the bytes that Linux keeps', () => {
    const text = 'user::rw-\nuser:1000:rw-\ngroup::r--\ngroup:5:r--\nmask::rw-\nother::r--\n';
    assert.equal(encodePosixAcl(text, 'access')?.toString('hex'), '0200000001000600ffffffff02000600e803000004000400ffffffff0800040005000000' +
        '10000600ffffffff20000400ffffffff');
});
test('encodePosixAcl() sorts named entries by number and reads the fourth field', () => {
    const sorted = 'user::rwx,user:5:r--,user:9:rwx,group::r-x,mask::rwx,other::---';
    const mixed = 'other::---,user:bob:rwx:9,mask::rwx,user:5:r--,group::r-x,user::rwx';
    assert.deepEqual(encodePosixAcl(mixed, 'default'), encodePosixAcl(sorted, 'default'));
});
test('encodePosixAcl() drops an access list that says what the mode says, not a default one', () => {
    const text = 'user::rwx,group::r-x,other::r-x';
    assert.equal(encodePosixAcl(text, 'access')?.length, 0);
    assert.equal(encodePosixAcl(text, 'default')?.length, 4 + 3 * 8);
});
for (const text of [
    '',
    'user::rwx',
    'user:alice:rwx,user::rwx,group::---,other::---',
    'x::rwx,a,b',
]) {
    test(`encodePosixAcl() gives nothing for ${JSON.stringify(text)}`, () => {
        assert.equal(encodePosixAcl(text, 'access'), undefined);
    });
}
