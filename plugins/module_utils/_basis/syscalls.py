# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few Linux system calls that Python 3.9's os module lacks, through the C library.

Every function raises OSError with errno and file name, as os does. ENOSYS (an old kernel, a container's filter) is the
caller's to handle. ctypes is imported at the first call only: most tasks need none of these.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any, NoReturn

AT_FDCWD = -100

# umount2(2). MNT_DETACH and MNT_FORCE are left out on purpose (safety.md D4).
UMOUNT_NOFOLLOW = 8

# mount(2), propagation
MS_REC = 1 << 14
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

# openat2(2)
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

# setns(2)
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

_NS_GET_NSTYPE = 0xB703
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_SYS_OPENAT2 = 437
# For a C library without renameat2 (musl). The key is the machine and whether this process has 64-bit pointers.
_SYS_RENAMEAT2 = {
    ("x86_64", True): 316,
    ("x86_64", False): 353,
    ("i686", False): 353,
    ("aarch64", True): 276,
    ("aarch64", False): 382,
    ("armv7l", False): 382,
    ("riscv64", True): 276,
    ("loongarch64", True): 276,
    ("ppc64le", True): 357,
    ("s390x", True): 347,
}


class _Calls:
    """The C library's functions with their argument types, made once."""

    def __init__(self) -> None:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        text, number, flags = ctypes.c_char_p, ctypes.c_int, ctypes.c_ulong
        self.get_errno = ctypes.get_errno
        self.umount2 = _typed(library.umount2, [text, number])
        self.mount = _typed(library.mount, [text, text, text, flags, ctypes.c_void_p])
        self.setns = _typed(library.setns, [number, number])
        self.renameat2 = self._find_renameat2(ctypes, library)
        # A function pointer of its own: argument types belong to the object, and `syscall` is used with two signatures.
        self.openat2 = _typed(
            ctypes.CDLL(None, use_errno=True).syscall, [ctypes.c_long, number, text, ctypes.c_void_p, ctypes.c_size_t]
        )
        self.openat2.restype = ctypes.c_long
        self.three_numbers = ctypes.c_uint64 * 3  # struct open_how: flags, mode, resolve
        self.open_how: dict[tuple[int, int], Any] = {}

    @staticmethod
    def _find_renameat2(ctypes: Any, library: Any) -> Any:
        number, text, flags = ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
        if hasattr(library, "renameat2"):
            return _typed(library.renameat2, [number, text, number, text, flags])
        index = _SYS_RENAMEAT2.get((os.uname().machine, ctypes.sizeof(ctypes.c_void_p) == 8))
        if index is None:
            return None
        raw = _typed(library.syscall, [ctypes.c_long, number, text, number, text, flags])
        raw.restype = ctypes.c_long
        return lambda *arguments: raw(index, *arguments)


def _typed(function: Any, argtypes: list[Any]) -> Any:
    function.argtypes = argtypes
    return function


_loaded: list[_Calls] = []


def _calls() -> _Calls:
    if not _loaded:
        _loaded.append(_Calls())
    return _loaded[0]


def _fail(code: int, *names: str) -> NoReturn:
    if len(names) == 2:
        raise OSError(code, os.strerror(code), names[0], None, names[1])
    raise OSError(code, os.strerror(code), *names)


def _path(name: str) -> bytes:
    """The name as the C library takes it. A NUL would silently cut it there."""
    raw = os.fsencode(name)
    if b"\0" in raw:
        raise ValueError("embedded null byte")
    return raw


def rename_noreplace(src_dir_fd: int, src: str, dst_dir_fd: int, dst: str) -> None:
    """Rename, but fail with EEXIST if dst is there. EINVAL: this file system cannot do it.

    ENOSYS: this kernel cannot.
    """
    _renameat2(src_dir_fd, src, dst_dir_fd, dst, _RENAME_NOREPLACE)


def rename_exchange(src_dir_fd: int, src: str, dst_dir_fd: int, dst: str) -> None:
    """Swap two names that both exist. EINVAL: this file system cannot do it. ENOSYS: this kernel cannot."""
    _renameat2(src_dir_fd, src, dst_dir_fd, dst, _RENAME_EXCHANGE)


def _renameat2(src_dir_fd: int, src: str, dst_dir_fd: int, dst: str, flags: int) -> None:
    calls = _calls()
    if calls.renameat2 is None:
        _fail(errno.ENOSYS, src, dst)
    if calls.renameat2(src_dir_fd, _path(src), dst_dir_fd, _path(dst), flags) != 0:
        _fail(calls.get_errno(), src, dst)


def umount(path: str, flags: int = UMOUNT_NOFOLLOW) -> None:
    """umount2(2). Never with MNT_DETACH in this collection (safety.md D4)."""
    calls = _calls()
    if calls.umount2(_path(path), flags) != 0:
        _fail(calls.get_errno(), path)


def set_propagation(path: str, kind: int, recursive: bool = True) -> None:
    """Change how mounts below the mount at path spread; kind is one of MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE.

    EINVAL: path is not a mount point. The last component is followed if it is a symbolic link.
    """
    calls = _calls()
    if calls.mount(None, _path(path), None, kind | (MS_REC if recursive else 0), None) != 0:
        _fail(calls.get_errno(), path)


def make_private(path: str, recursive: bool = True) -> None:
    """Cut the mount at path, and all below it if recursive, off from its peers (safety.md D4)."""
    set_propagation(path, MS_PRIVATE, recursive)


def open_beneath(dir_fd: int, name: str, flags: int, resolve: int = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) -> int:
    """openat2(2), Linux 5.6; returns a close-on-exec descriptor.

    EXDEV: a mount (RESOLVE_NO_XDEV) or a way out of dir_fd.

    ELOOP: a symbolic link (RESOLVE_NO_SYMLINKS). It creates nothing: O_CREAT is not supported here.
    """
    calls = _calls()
    how = calls.open_how.get((flags, resolve))
    if how is None:  # made once: this is called for each directory of a tree
        how = calls.open_how[(flags, resolve)] = calls.three_numbers(flags | os.O_CLOEXEC, 0, resolve)
    raw = _path(name)
    # Interrupted calls are repeated, as os.open does (PEP 475).
    while True:
        fd = calls.openat2(_SYS_OPENAT2, dir_fd, raw, how, 24)
        if fd >= 0:
            return int(fd)
        code = calls.get_errno()
        if code != errno.EINTR:
            _fail(code, name)


def setns(fd: int, kind: int) -> None:
    """Enter the namespace of fd (os.setns exists from Python 3.12 only)."""
    calls = _calls()
    if calls.setns(fd, kind) != 0:
        _fail(calls.get_errno(), f"/proc/self/fd/{fd}")


def namespace_type(path: str) -> int:
    """The kind of namespace that an entry leads to, as CLONE_NEWNET; 0: it is none (ioctl_ns(2)). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return fcntl.ioctl(descriptor, _NS_GET_NSTYPE)
    except OSError as error:
        if error.errno != errno.ENOTTY:
            raise
        return 0
    finally:
        os.close(descriptor)
