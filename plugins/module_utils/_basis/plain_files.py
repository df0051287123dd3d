# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry of a directory is, bounded reads of plain files (safety.md B6), and the names of their temporaries."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below

_MOST_LINKS = 8  # that follow one another
MOST_BYTES = 64 << 20  # safety.md B6: a larger document is unknown
# No runtime lists a name like this: hidden, and it does not end in ".state" (README.md R3).
TEMPORARY_SUFFIX = ".sbx-tmp"
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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


def temporary_name(name: str) -> str:
    """The one temporary name of a file. Writers hold the object's lock, so there is never more than one of them;
    and a name that is known in advance is found again after a crash without listing the directory."""
    return f".{name}{TEMPORARY_SUFFIX}"


def look(directory: Directory, name: str) -> FileFacts | None:
    """lstat of an entry; None when it is absent, Unreadable for any other error."""
    try:
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(directory.join(name), os_reason(error)) from error
    # FileFacts(...) would go through a function of Python's; this is asked a dozen times for each object.
    return tuple.__new__(
        FileFacts,
        (status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_ctime_ns, status.st_mtime_ns),
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
        descriptor = os.open(name, READ_FLAGS, dir_fd=directory.fd)
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


def _read_all(descriptor: int, where: str, size: int) -> bytes:
    """size: what it had just now; it may have grown."""
    pieces: list[bytes] = []
    left = MOST_BYTES + 1
    while left > 0:
        asked = min(left, 1 << 20, max(size + 1, 4096))
        piece = os.read(descriptor, asked)
        if len(piece) == size < asked and not pieces:  # fewer than asked for, and all that it had: that is its end
            return piece
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        left -= len(piece)
    raise Unreadable(where, f"it grew beyond {MOST_BYTES} bytes while it was read")


def read_followed(root: str, path: str, is_needed: bool) -> bytes:
    """What a path of the host below root leads to, also through links, which stay inside root; empty for nothing.

    is_needed: a program that runs was told to read it, so that it cannot be absent. Raises StateError, also for a link
    that leads to nothing: a disk may not be mounted.
    """
    data = _followed(root, path)
    if data is None and is_needed:
        raise Unreadable(path, "it is not there any more")
    return data or b""


def _followed(root: str, path: str) -> bytes | None:
    given = path
    for link in range(_MOST_LINKS):
        with open_below(root, os.path.dirname(path)) as directory:
            name = os.path.basename(path)
            facts = look(directory, name) if directory.exists else None
            if facts is None and (link or directory.is_lost):
                raise Unreadable(given, "a link on the way to it leads to nothing")
            if facts is None:
                return None
            if not stat.S_ISLNK(facts.mode):
                return read_known_file(directory, name, facts)
            path = os.path.join(os.path.dirname(path), _target_of(directory, name))
    raise Unreadable(path, "it is reached through too many links")


def _target_of(directory: Directory, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=directory.fd)
    except OSError as error:
        raise Unreadable(directory.join(name), os_reason(error)) from error
