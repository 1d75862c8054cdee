import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { pack as packTar } from 'tar-stream'
import { isSiError } from '../../../src/core/core.ts'
import { TarReader } from '../../../src/image/tar-reader.ts'
import {
  archive,
  END_OF_ARCHIVE,
  file,
  header,
  only,
  padded,
  pax,
  readTar,
  sparse10,
  withChecksum,
} from './tar-fixture.ts'

const isTarError = (error: unknown) => isSiError(error, 'ERR_SI_TAR_FORMAT')

test('TarReader reads the fields of a ustar header', () => {
  const entry = only(
    file({ name: 'b', prefix: './long/a', mode: 0o104755, uid: 7, gid: 8, mtime: 9 }, 'data'),
  )
  assert.deepEqual(entry, {
    type: 'file',
    path: Buffer.from('long/a/b'),
    mode: 0o4755,
    uid: 7,
    gid: 8,
    mtimeNs: 9_000_000_000n,
    sizeBytes: 4,
    dataOffset: 512,
    dataBytes: 4,
    linkTarget: null,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: [],
    sparse: null,
  })
})

test('TarReader ignores the prefix field of old GNU headers', () => {
  assert.equal(only(header({ name: './n', magic: 'ustar  \0', prefix: 'x' })).path.toString(), 'n')
})

test('TarReader reads every type of member', () => {
  const { entries } = readTar(
    archive(
      header({ name: './', typeFlag: '5' }),
      header({ name: './d/', typeFlag: '5', mode: 0o1777 }),
      header({ name: './v7/', typeFlag: '0' }),
      header({ name: './s', typeFlag: '2', linkName: '../x/' }),
      header({ name: './h', typeFlag: '1', linkName: './f' }),
      header({ name: './c', typeFlag: '3', major: 300, minor: 70000 }),
      header({ name: './b', typeFlag: '4', major: 8, minor: 1 }),
      header({ name: './p', typeFlag: '6' }),
    ),
  )
  assert.deepEqual(
    entries.map((e) => [e.type, e.path.toString(), e.linkTarget?.toString() ?? null]),
    [
      ['directory', '', null],
      ['directory', 'd', null],
      ['directory', 'v7', null],
      ['symlink', 's', '../x/'],
      ['hardlink', 'h', 'f'],
      ['character', 'c', null],
      ['block', 'b', null],
      ['fifo', 'p', null],
    ],
  )
  assert.deepEqual([entries[5]?.deviceMajor, entries[5]?.deviceMinor], [300, 70000])
})

test('TarReader lets pax records override the header', () => {
  const entry = only(
    pax([
      ['path', Buffer.from('./caf\xe9', 'latin1')],
      ['uid', '4000000000'],
      ['gid', '3000000'],
      ['mtime', '4102444800.123456789'],
      ['SCHILY.xattr.security.capability', Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0x3d])],
      ['SCHILY.xattr.user.a%3Db%25', 'v'],
    ]),
    file({ uid: 1 }, ''),
  )
  assert.deepEqual(entry.path, Buffer.from('caf\xe9', 'latin1'))
  assert.deepEqual([entry.uid, entry.gid], [4_000_000_000, 3_000_000])
  assert.equal(entry.mtimeNs, 4_102_444_800_123_456_789n)
  assert.deepEqual(entry.xattrs, [
    { name: 'security.capability', value: Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0x3d]) },
    { name: 'user.a=b%', value: Buffer.from('v') },
  ])
})

test('TarReader keeps times before 1970 to the nanosecond', () => {
  const at = (mtime: string) => only(pax([['mtime', mtime]]), header({})).mtimeNs
  assert.equal(at('-631151999.75'), -631_151_999_750_000_000n)
  assert.equal(at('-0.5'), -500_000_000n)
  assert.equal(at('1.0000000019'), 1_000_000_001n)
  assert.equal(only(header({ mtime: -5 })).mtimeNs, -5_000_000_000n)
})

test('TarReader applies pax records to one member only, global ones to all', () => {
  const { entries } = readTar(
    archive(
      pax([['uid', '5']], 'g'),
      pax([['uid', '6']]),
      header({ name: './a' }),
      header({ name: './b' }),
    ),
  )
  assert.deepEqual(
    entries.map((e) => e.uid),
    [6, 5],
  )
})

test('TarReader reads GNU long names and sizes in base 256', () => {
  const long = `./${'n'.repeat(300)}`
  const { entries } = readTar(
    archive(
      file({ name: '././@LongLink', typeFlag: 'K' }, 'target\0'),
      file({ name: '././@LongLink', typeFlag: 'L' }, `${long}\0`),
      header({ typeFlag: '2' }),
      header({ uid: 5_000_000_000 }),
    ),
  )
  assert.equal(entries[0]?.path.toString(), long.slice(2))
  assert.equal(entries[0]?.linkTarget?.toString(), 'target')
  assert.equal(entries[1]?.uid, 5_000_000_000)
})

test('TarReader turns ACL text into the binary form only where there is none', () => {
  const text = 'user::rw-\nuser:1000:r--\ngroup::r--\nmask::r--\nother::---\n'
  const fromText = only(pax([['SCHILY.acl.access', text]]), header({}))
  assert.equal(fromText.xattrs[0]?.name, 'system.posix_acl_access')
  assert.equal(fromText.xattrs[0]?.value.length, 4 + 5 * 8)
  const both = only(
    pax([
      ['SCHILY.acl.access', text],
      ['SCHILY.xattr.system.posix_acl_access', 'binary'],
    ]),
    header({}),
  )
  assert.deepEqual(both.xattrs, [{ name: 'system.posix_acl_access', value: Buffer.from('binary') }])
})

test('TarReader notes an ACL that names users by name', () => {
  const text = 'user::rw-,user:alice:r--,group::r--,mask::r--,other::---'
  const { entries, notes } = readTar(archive(pax([['SCHILY.acl.access', text]]), header({})))
  assert.deepEqual(entries[0]?.xattrs, [])
  assert.match(notes[0] ?? '', /access ACL of file/)
})

test('TarReader gives a SELinux label its final NUL', () => {
  const entry = only(pax([['RHT.security.selinux', 'system_u:x']]), header({}))
  assert.deepEqual(entry.xattrs, [{ name: 'security.selinux', value: Buffer.from('system_u:x\0') }])
})

test('TarReader gives the same entries however the stream is cut', () => {
  const tar = archive(
    pax([
      ['path', './a'],
      ['SCHILY.xattr.user.x', 'y'],
    ]),
    file({}, 'x'.repeat(700)),
    sparse10('2048'),
    file({}, Buffer.concat([padded('1\n512\n512\n'), Buffer.alloc(512)])),
    header({ name: './d/', typeFlag: '5' }),
  )
  const whole = readTar(tar)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1500 }), (step) => {
      assert.deepEqual(readTar(tar, step), whole)
    }),
    { numRuns: 60 },
  )
})

test('TarReader agrees with tar-stream about any file', async () => {
  const name = fc.stringMatching(/^[a-z]{1,40}(\/[a-zé]{1,40}){0,5}$/)
  await fc.assert(
    fc.asyncProperty(name, fc.uint8Array({ maxLength: 2000 }), async (path, data) => {
      const pack = packTar()
      const made = new Date(1_700_000_000_000)
      pack.entry({ name: path, uid: 12, gid: 13, mode: 0o640, mtime: made }, Buffer.from(data))
      pack.finalize()
      const parts: Buffer[] = []
      for await (const part of pack) parts.push(part as Buffer)
      const tar = Buffer.concat(parts)
      const [entry] = readTar(tar).entries
      assert.ok(entry)
      assert.equal(entry.path.toString(), path)
      assert.deepEqual([entry.uid, entry.gid, entry.mode], [12, 13, 0o640])
      assert.equal(entry.mtimeNs, 1_700_000_000_000_000_000n)
      const stored = tar.subarray(entry.dataOffset, entry.dataOffset + entry.dataBytes)
      assert.ok(stored.equals(data))
    }),
    { numRuns: 50 },
  )
})

test('TarReader refuses an archive that is cut off at any byte', () => {
  const tar = archive(pax([['uid', '5']]), file({}, 'some data'))
  for (let length = 0; length < tar.length; length++) {
    assert.throws(() => readTar(tar.subarray(0, length), 512), isTarError, `at ${length}`)
  }
  readTar(tar)
})

test('TarReader refuses a header whose checksum is wrong, for every byte', () => {
  const good = header({ name: './file' })
  for (let i = 0; i < 512; i++) {
    if (i === 155) continue // the byte behind the checksum's NUL means nothing
    const bad = Buffer.from(good)
    bad[i] = (bad[i] ?? 0) ^ 1
    assert.throws(() => readTar(archive(bad)), isTarError, `byte ${i}`)
  }
})

test('TarReader survives random bytes with nothing but its own error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 512, maxLength: 2048 }), (bytes) => {
      const block = withChecksum(Buffer.from(bytes.subarray(0, 512)))
      assert.throws(() => readTar(Buffer.concat([block, bytes.subarray(512)])), isTarError)
    }),
  )
})

test('TarReader reads the extended header of a file of 300,000 extents', () => {
  const count = 300_000
  const extents = Array.from({ length: count }, (_, index): [string, string][] => [
    ['GNU.sparse.offset', String((index + 1e9) * 1024)],
    ['GNU.sparse.numbytes', '512'],
  ])
  const size = String((count + 1e9) * 1024)
  const records = pax([['GNU.sparse.size', size], ...extents.flat()])
  assert.ok(records.length > 16 * 2 ** 20)
  const { entries } = readTar(archive(records, file({ name: 'f' }, Buffer.alloc(count * 512))))
  assert.equal(entries[0]?.sparse?.length, count)
})

const HOSTILE: readonly (readonly [name: string, members: readonly Buffer[]])[] = [
  ['an unknown member type', [header({ typeFlag: 'V' })]],
  ['an old GNU sparse member', [header({ typeFlag: 'S' })]],
  ['a directory with data', [file({ typeFlag: '5' }, 'x')]],
  ['a negative size', [header({ sizeBytes: -512 })]],
  ['an extended header of 1 GiB', [header({ typeFlag: 'x', sizeBytes: 2 ** 30 })]],
  ['a size beyond 2^53', [pax([['size', '99999999999999999999']]), header({})]],
  ['a pax size that is no number', [pax([['size', '-1']]), header({})]],
  ['a pax time that is no number', [pax([['mtime', 'now']]), header({})]],
  ['a pax record that is too long', [file({ typeFlag: 'x' }, '99 uid=1\n')]],
  ['a pax record of length 0', [file({ typeFlag: 'x' }, '0 uid=1\n')]],
  ['a pax record without a value', [file({ typeFlag: 'x' }, '7 uid1\n')]],
  ['an empty name', [header({ name: '' })]],
  ['a lone block of zeros', [Buffer.alloc(512), header({})]],
]

for (const [name, members] of HOSTILE) {
  test(`TarReader refuses ${name}`, () => {
    assert.throws(() => readTar(archive(...members)), isTarError)
  })
}

test('TarReader ignores what follows the end of the archive', () => {
  const reader = new TarReader({ onEntry: () => assert.fail('no entry'), onNote() {} })
  reader.push(END_OF_ARCHIVE)
  reader.push(Buffer.alloc(3000, 'x'))
  reader.end()
  assert.equal(reader.tarOffset, 4024)
})
