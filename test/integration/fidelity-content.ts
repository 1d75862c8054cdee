// The rarest things that file systems hold, for round trips: made by programs that are not ours.
import { run } from '../../src/host/host.ts'
import type { Scope } from '../lab/scope.ts'

/** Argument: the folder to fill. For ext4; python3 does what no shell can. */
const RARE = `
import os, socket, stat, struct, fcntl, sys
os.chdir(sys.argv[1])
def write(name, data=b'x'):
    with open(name, 'wb') as f: f.write(data)
# hard links of every kind of object
os.mkdir('links'); write('links/file'); os.link('links/file', 'links/file again')
os.mkfifo('links/fifo'); os.link('links/fifo', 'links/fifo again')
os.mknod('links/device', 0o640 | stat.S_IFCHR, os.makedev(511, 262143)); os.link('links/device', 'links/device again')
os.mknod('links/disk', 0o660 | stat.S_IFBLK, os.makedev(259, 300)); os.link('links/disk', 'a disk')
os.symlink('file', 'links/symlink'); os.link('links/symlink', 'links/symlink again', follow_symlinks=False)
# holes
MIB = 1 << 20
def sparse(name, size, *runs):
    with open(name, 'wb') as f:
        f.truncate(size)
        for offset, data in runs: f.seek(offset); f.write(data)
os.mkdir('holes')
sparse('holes/all', 5 * MIB + 7)
sparse('holes/at the end', 9 * MIB, (0, b's' * 4096))
sparse('holes/at the start', 4 * MIB, (4 * MIB - 10, b'end of file'[:10]))
sparse('holes/many', 64 * MIB, *[(k * MIB, b'k' * 8192) for k in range(0, 64, 2)])
sparse('holes/twenty gigabytes', 20 << 30, (0, b'a'), (9 << 30, b'beyond 8 GiB'), ((20 << 30) - 1, b'z'))
write('holes/zeros', bytes(3 * MIB))
# extended attributes
os.mkdir('attributes'); write('attributes/file')
os.setxattr('attributes/file', b'user.empty', b'')
os.setxattr('attributes/file', b'user.bytes', bytes(range(256)))
os.setxattr('attributes/file', b'user.newline', b'\\na\\n\\n')
os.setxattr('attributes/file', b'user.\\xff\\xfe not utf-8', b'1')
os.setxattr('attributes/file', b'user.a=b%3Dc', b'2')
os.setxattr('attributes/file', b'user.line\\nbreak', b'3')
os.setxattr('attributes/file', b'user.' + b'n' * 250, b'longest name')
os.setxattr('attributes', b'trusted.directory', b'\\0\\n')
os.symlink('file', 'attributes/link'); os.setxattr('attributes/link', b'trusted.link', b'of a symlink', follow_symlinks=False)
os.setxattr('attributes/file', b'security.selinux', b'system_u:object_r:etc_t:s0\\0')
# names
os.mkdir('names')
for name in (b'\\xff\\xfe', b'line\\nbreak', b'n' * 255, b'\\xc3\\xa4' * 127, b'tab\\tand bell\\a', b'[*]?\\\\', b' ', b'-n', b'%s%d', b'\\x01\\x7f'):
    write(b'names/' + name, name)
# owners, modes, times
os.mkdir('modes')
for uid in (0, 65534, 2097151, 2097152, 4294967294):
    write('modes/uid %d' % uid); os.chown('modes/uid %d' % uid, uid, 4294967294 - uid)
for mode in (0, 0o4755, 0o2755, 0o6711, 0o1777, 0o7777):
    write('modes/%o' % mode); os.chmod('modes/%o' % mode, mode)
    os.mkdir('modes/d%o' % mode); os.chmod('modes/d%o' % mode, mode)
os.mkdir('times')
for second, nano in ((-2147483648, 0), (-1, 999999999), (0, 0), (0, 1), (2147483647, 999999999), (2147483648, 5), (4294967296, 123456789), (15032385535, 999999999)):
    name = 'times/%d.%d' % (second, nano); write(name); os.utime(name, ns=(0, second * 10**9 + nano))
    os.mkdir(name + '.d'); os.utime(name + '.d', ns=(0, second * 10**9 + nano))
# a tree deeper than any path: 20 folders of 250 bytes, one of them excluded by name
fd = os.open('.', os.O_RDONLY)
for depth in range(20):
    name = b'%02d' % depth + b'd' * 248
    os.mkdir(name, dir_fd=fd)
    if depth == 19: os.mkdir('skip', dir_fd=fd); os.mkdir('skip/inside', dir_fd=fd)
    fd = os.open(name, os.O_RDONLY, dir_fd=fd)
f = os.open('deep file', os.O_CREAT | os.O_WRONLY, dir_fd=fd); os.write(f, b'deep')
os.setxattr(f, 'user.deep', b'yes'); os.utime(f, ns=(0, 1234567890123456789))
os.link('deep file', 'deep link', src_dir_fd=fd, dst_dir_fd=fd)
os.symlink('deep file', 'deep symlink', dir_fd=fd)
# what no archive holds
s = socket.socket(socket.AF_UNIX); s.bind('socket')
`

/** Argument: a tree. One JSON line an object, in everything but access and change times. */
const DESCRIBE = `
import os, stat, sys, json, hashlib
first = {}
def runs(fd, size):
    found, end = [], 0
    while end < size:
        try: start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError: break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        found.append([start, end])
    return found
def describe(fd, name, path):
    s = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if path in (b'./lost+found', b'./.swarmimager-journal'): return
    record = {'path': path.hex(), 'mode': s.st_mode, 'uid': s.st_uid, 'gid': s.st_gid, 'mtime': s.st_mtime_ns, 'rdev': s.st_rdev}
    if not stat.S_ISDIR(s.st_mode): record['link'] = first.setdefault(s.st_ino, path).hex()
    if stat.S_ISLNK(s.st_mode): record['target'] = os.readlink(name, dir_fd=fd).hex()
    o = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
    at = '/proc/self/fd/%d' % o
    try:
        if not stat.S_ISLNK(s.st_mode): # of a symlink's attributes see below
            record['xattrs'] = sorted((os.fsencode(n).hex(), os.getxattr(at, n).hex()) for n in os.listxattr(at))
        elif len(path) < 4000:
            record['xattrs'] = sorted((os.fsencode(n).hex(), os.getxattr(path, n, follow_symlinks=False).hex()) for n in os.listxattr(path, follow_symlinks=False))
        if stat.S_ISREG(s.st_mode):
            r = os.open(at, os.O_RDONLY)
            record['size'], record['runs'], h = s.st_size, runs(r, s.st_size), hashlib.sha256()
            for start, end in record['runs']:
                h.update(os.pread(r, end - start, start))
            record['sha256'] = h.hexdigest(); os.close(r)
        print(json.dumps(record))
        if stat.S_ISDIR(s.st_mode):
            d = os.open(at, os.O_RDONLY)
            for child in sorted(os.fsencode(n) for n in os.listdir(d)): describe(d, child, path + b'/' + child)
            os.close(d)
    finally: os.close(o)
sys.setrecursionlimit(10000)
os.chdir(sys.argv[1])
describe(os.open('.', os.O_RDONLY), b'.', b'.')
`

export async function writeRareContent(scope: Scope, directory: string): Promise<void> {
  await run('/usr/bin/python3', ['-', directory], { input: RARE, signal: scope.signal })
}

/** Everything that a file system keeps of each object, one line each, in the order of names. */
export async function describeTree(directory: string): Promise<readonly string[]> {
  const { stdout } = await run('/usr/bin/python3', ['-', directory], { input: DESCRIBE })
  return stdout.split('\n').filter(Boolean)
}
