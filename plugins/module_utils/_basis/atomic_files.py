# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are old or new, never torn (promise 2)."""

from __future__ import annotations

import errno
import os
import stat

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import WriteFailed, os_reason, way_out
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import (
    READ_FLAGS,
    look,
    temporary_name,
)

_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
        raise WriteFailed(where, f"it could not be written: {os_reason(error)}", way_out(error, kept)) from error


def write_in_place(directory: Directory, name: str, data: bytes) -> None:
    """Put a few bytes into an existing file that nobody reads while its lock is held. Raises WriteFailed."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise WriteFailed(
            directory.join(name), f"it could not be written: {os_reason(error)}", way_out(error)
        ) from error


def sync_directory(directory: Directory) -> None:
    """fsync of a directory, so that what was made, renamed or removed in it survives a power failure."""
    try:
        os.fsync(directory.fd)
    except OSError as error:
        raise WriteFailed(directory.path, f"the change is made but may not be durable: {os_reason(error)}") from error


def _old_file(directory: Directory, name: str) -> int | None:
    """A descriptor of the file that is replaced, to copy its owner and attributes; None when there is none."""
    try:
        return os.open(name, READ_FLAGS, dir_fd=directory.fd)
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
        raise WriteFailed(
            directory.join(name), f"it could not be removed: {os_reason(error)}", way_out(error)
        ) from error
    return True
