# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are old or new, never torn (promise 2), and bounded reads (safety.md B6)."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    Unreadable,
    WriteFailed,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory

MOST_BYTES = 64 << 20  # safety.md B6: a larger document is unknown
# No runtime lists a name like this: hidden, and it does not end in ".state" (README.md R3).
TEMPORARY_SUFFIX = ".sbx-tmp"
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileFacts(NamedTuple):
    """What lstat says of an entry, as far as decisions need it. Times are in nanoseconds of the epoch."""

    device: int
    inode: int
    mode: int
    size: int
    ctime_ns: int
    mtime_ns: int

    @property
    def identity(self) -> tuple[int, int]:
        return (self.device, self.inode)


def look(directory: Directory, name: str) -> FileFacts | None:
    """lstat of an entry; None when it is absent, Unreadable for any other error."""
    try:
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(directory.join(name), os_reason(error)) from error
    return FileFacts(
        status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_ctime_ns, status.st_mtime_ns
    )


def read_file(directory: Directory, name: str) -> bytes | None:
    """The content of a plain file of at most 64 MiB; None when it is absent.

    Raises Unreadable for everything else: a fifo or a link is not opened, an error is never taken for absence.
    """
    facts = look(directory, name)
    return None if facts is None else read_known_file(directory, name, facts)


def read_known_file(directory: Directory, name: str, facts: FileFacts) -> bytes | None:
    """read_file of an entry that was looked at just now."""
    where = directory.join(name)
    descriptor = open_known_file(directory, name, facts)
    if descriptor is None:
        return None
    try:
        if facts.size > MOST_BYTES:
            raise Unreadable(where, f"it has {facts.size} bytes, more than {MOST_BYTES}")
        return _read_all(descriptor, where, facts.size)
    except OSError as error:
        raise Unreadable(where, os_reason(error)) from error
    finally:
        os.close(descriptor)


def open_known_file(directory: Directory, name: str, facts: FileFacts) -> int | None:
    """A descriptor to read a plain file through that was looked at just now; None when it is gone. Raises Unreadable.

    A fifo or a link is not opened, nor waited for if it is put in the place of the file (safety.md B6).
    """
    where = directory.join(name)
    if not stat.S_ISREG(facts.mode):
        raise Unreadable(where, "it is not a plain file")
    try:
        descriptor = os.open(name, _READ_FLAGS, dir_fd=directory.fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(where, os_reason(error)) from error
    try:
        is_plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError as error:
        os.close(descriptor)
        raise Unreadable(where, os_reason(error)) from error
    if not is_plain:
        os.close(descriptor)
        raise Unreadable(where, "it is not a plain file")
    return descriptor


def _read_all(descriptor: int, where: str, size: int = 1 << 20) -> bytes:
    """size: what it has, as far as that is known; it may have grown."""
    pieces: list[bytes] = []
    left = MOST_BYTES + 1
    while left > 0:
        piece = os.read(descriptor, min(left, 1 << 20, max(size + 1, 4096)))
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        left -= len(piece)
    raise Unreadable(where, f"it grew beyond {MOST_BYTES} bytes while it was read")


def temporary_name(name: str) -> str:
    """The one temporary name of a file. Writers hold the object's lock, so there is never more than one of them;
    and a name that is known in advance is found again after a crash without listing the directory."""
    return f".{name}{TEMPORARY_SUFFIX}"


def write_file(directory: Directory, name: str, data: bytes, mode: int, durable: bool = True) -> None:
    """Replace or create a plain file: temporary, write, fsync, rename (README.md R3).

    The caller holds the object's lock, and calls sync_directory once for all that it changed in one directory.
    A new file gets `mode` exactly; a replaced one keeps its mode, owner and extended attributes.
    A temporary that a crashed writer left is removed first. Every error leaves the old file and no temporary, and is
    raised as WriteFailed.
    """
    where = directory.join(name)
    temporary = temporary_name(name)
    try:
        remove_file(directory, temporary)
        descriptor = os.open(temporary, _WRITE_FLAGS, 0o600, dir_fd=directory.fd)
        try:
            _fill(descriptor, data, durable, _old_file(directory, name), mode)
            os.rename(temporary, name, src_dir_fd=directory.fd, dst_dir_fd=directory.fd)
        except BaseException:
            os.unlink(temporary, dir_fd=directory.fd)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        kept = "The old content is kept." if look(directory, name) is not None else "Nothing was made."
        raise WriteFailed(where, f"it could not be written: {os_reason(error)}", kept) from error


def write_in_place(directory: Directory, name: str, data: bytes) -> None:
    """Put a few bytes into an existing file that nobody reads while its lock is held. Raises WriteFailed."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise WriteFailed(directory.join(name), f"it could not be written: {os_reason(error)}") from error


def sync_directory(directory: Directory) -> None:
    """fsync of a directory, so that what was made, renamed or removed in it survives a power failure."""
    try:
        os.fsync(directory.fd)
    except OSError as error:
        raise WriteFailed(directory.path, f"the change is made but may not be durable: {os_reason(error)}") from error


def _old_file(directory: Directory, name: str) -> int | None:
    """A descriptor of the file that is replaced, to copy its owner and attributes; None when there is none."""
    try:
        return os.open(name, _READ_FLAGS, dir_fd=directory.fd)
    except FileNotFoundError:
        return None


def _fill(descriptor: int, data: bytes, durable: bool, old: int | None, mode: int) -> None:
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if old is None:
            os.fchmod(descriptor, mode)
        else:
            _copy_attributes(old, descriptor)
        if durable:
            os.fsync(descriptor)
    finally:
        if old is not None:
            os.close(old)


def _copy_attributes(old: int, new: int) -> None:
    status = os.fstat(old)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    mine = os.fstat(new)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(new, status.st_uid, status.st_gid)
    os.fchmod(new, stat.S_IMODE(status.st_mode))
    try:
        names = os.listxattr(old)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # this file system has none
            return
        raise
    for attribute in names:
        os.setxattr(new, attribute, os.getxattr(old, attribute))


def remove_file(directory: Directory, name: str) -> bool:
    """Unlink an entry that is no directory; False when it was absent. Never follows a link."""
    try:
        os.unlink(name, dir_fd=directory.fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise WriteFailed(directory.join(name), f"it could not be removed: {os_reason(error)}") from error
    return True
