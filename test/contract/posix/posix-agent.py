#!/usr/bin/python3
"""Makes system calls for the POSIX contract, one JSON line a call, as any user.

Request: {"call": NAME, "args": [...], "uid": N, "gid": N, "groups": [N], "umask": N}
Answer: {"value": ...} or {"errno": "ENOENT"}. Bytes travel as latin1 text. Descriptors stay open between calls.
One process makes one call after the other, so a user who waits for a lock needs an agent of his own.
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import stat
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


def raw(text):
    return text.encode("latin1")


def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def described(status):
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "symlink",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character",
        stat.S_IFBLK: "block",
    }
    return {
        "type": kinds[stat.S_IFMT(status.st_mode)],
        "mode": stat.S_IMODE(status.st_mode),
        "inode": status.st_ino,
        "links": status.st_nlink,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "size": status.st_size,
        "blocks": status.st_blocks,
        "device": [os.major(status.st_rdev), os.minor(status.st_rdev)],
        "atime": str(status.st_atime_ns),
        "mtime": str(status.st_mtime_ns),
        "ctime": str(status.st_ctime_ns),
    }


def lock_range(fd, kind, start=0, length=0, wait=False):
    kinds = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK, "unlock": fcntl.F_UNLCK}
    request = struct.pack("hhqqi4x", kinds[kind], os.SEEK_SET, start, length, 0)
    fcntl.fcntl(fd, fcntl.F_SETLKW if wait else fcntl.F_SETLK, request)


def lock_in_the_way(fd, kind, start=0, length=0):
    kinds = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK}
    request = struct.pack("hhqqi4x", kinds[kind], os.SEEK_SET, start, length, 0)
    found, _, start, length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, request))
    if found == fcntl.F_UNLCK:
        return None
    name = "read" if found == fcntl.F_RDLCK else "write"
    return {"type": name, "start": start, "length": length, "pid": pid}


def flock(fd, kind, wait=False):
    kinds = {"read": fcntl.LOCK_SH, "write": fcntl.LOCK_EX, "unlock": fcntl.LOCK_UN}
    fcntl.flock(fd, kinds[kind] | (0 if wait else fcntl.LOCK_NB))


def map_write(fd, offset, data):
    with mmap.mmap(fd, 0) as memory:
        memory[offset : offset + len(data)] = raw(data)
        memory.flush()


def map_read(fd, offset, length):
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as memory:
        return memory[offset : offset + length].decode("latin1")


def statfs(path):
    status = os.statvfs(raw(path))
    return {"blockSize": status.f_bsize, "blocks": status.f_blocks, "nameMax": status.f_namemax}


def exec_file(path):
    child = os.fork()
    if child == 0:
        try:
            os.execv(raw(path), [raw(path)])
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def set_times(path, atime, mtime, follow=True):
    """Times in nanoseconds as text, "now" or "omit"."""

    def spec(value):
        special = {"now": 0x3FFFFFFF, "omit": 0x3FFFFFFE}
        if value in special:
            return struct.pack("qq", 0, special[value])
        return struct.pack("qq", int(value) // 10**9, int(value) % 10**9)

    both = spec(atime) + spec(mtime)
    check(libc.utimensat(AT_FDCWD, raw(path), both, 0 if follow else 0x100))


CALLS = {
    "access": lambda path, mode: check(libc.faccessat(AT_FDCWD, raw(path), mode, 0x200)) and None,
    "chmod": lambda path, mode: os.chmod(raw(path), mode),
    "fchmod": os.fchmod,
    "chown": lambda path, uid, gid: os.chown(raw(path), uid, gid),
    "lchown": lambda path, uid, gid: os.lchown(raw(path), uid, gid),
    "fchown": os.fchown,
    "close": os.close,
    "copyRange": lambda a, b, n, x, y: os.copy_file_range(a, b, n, x, y),
    "exec": exec_file,
    "fallocate": lambda fd, mode, at, n: check(
        libc.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(n))
    ),
    "fsync": os.fsync,
    "ftruncate": os.ftruncate,
    "fstat": lambda fd: described(os.fstat(fd)),
    "flock": flock,
    "getxattr": lambda path, name: os.getxattr(raw(path), name).decode("latin1"),
    "link": lambda a, b: os.link(raw(a), raw(b), follow_symlinks=False),
    "list": lambda path: sorted(name.decode("latin1") for name in os.listdir(raw(path))),
    "listxattr": lambda path: sorted(os.listxattr(raw(path))),
    "lock": lock_range,
    "lockInTheWay": lock_in_the_way,
    "lseek": os.lseek,
    "lstat": lambda path: described(os.lstat(raw(path))),
    "mapRead": map_read,
    "mapWrite": map_write,
    "mkdir": lambda path, mode: os.mkdir(raw(path), mode),
    "mkfifo": lambda path, mode: os.mkfifo(raw(path), mode),
    "mknod": lambda path, mode, major, minor: os.mknod(raw(path), mode, os.makedev(major, minor)),
    "open": lambda path, flags, mode=0: os.open(raw(path), flags, mode),
    "openat": lambda fd, path, flags, mode=0: os.open(raw(path), flags, mode, dir_fd=fd),
    "pread": lambda fd, length, at: os.pread(fd, length, at).decode("latin1"),
    "pwrite": lambda fd, data, at: os.pwrite(fd, raw(data), at),
    "read": lambda fd, length: os.read(fd, length).decode("latin1"),
    "readlink": lambda path: os.readlink(raw(path)).decode("latin1"),
    "removexattr": lambda path, name: os.removexattr(raw(path), name),
    "rename": lambda a, b: os.rename(raw(a), raw(b)),
    "rename2": lambda a, b, flags: check(
        libc.renameat2(AT_FDCWD, raw(a), AT_FDCWD, raw(b), flags)
    ),
    "rmdir": lambda path: os.rmdir(raw(path)),
    "setxattr": lambda path, name, value, flags=0: os.setxattr(raw(path), name, raw(value), flags),
    "stat": lambda path: described(os.stat(raw(path))),
    "statfs": statfs,
    "symlink": lambda target, path: os.symlink(raw(target), raw(path)),
    "truncate": lambda path, size: os.truncate(raw(path), size),
    "unlink": lambda path: os.unlink(raw(path)),
    "utimens": set_times,
    "write": lambda fd, data: os.write(fd, raw(data)),
}


def become(request):
    os.umask(request["umask"])
    os.setgroups(request["groups"])
    os.setegid(request["gid"])
    os.seteuid(request["uid"])


def become_root():
    os.seteuid(0)
    os.setegid(0)
    os.setgroups([])
    os.umask(0)


for line in sys.stdin:
    request = json.loads(line)
    try:
        become(request)
        try:
            answer = {"value": CALLS[request["call"]](*request["args"])}
        finally:
            become_root()
    except OSError as error:
        answer = {"errno": errno.errorcode.get(error.errno, str(error.errno))}
    print(json.dumps(answer), flush=True)
