# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A listening Unix socket that is made for another program (contracts/virtiofsd.md, V8)."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InvalidInput,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory

MOST_BYTES = 107  # of sun_path, without its NUL
_BACKLOG = 16


def check_socket_path(path: str, option: str) -> None:
    """Refuse a path that no socket can have. Raises InvalidInput."""
    size = len(os.fsencode(path))
    if size > MOST_BYTES:
        why = f"'{path}' has {size} bytes, and the path of a socket has at most {MOST_BYTES}"
        raise InvalidInput(option, why, "Give a shorter one.")


def listen_at(directory: Directory, name: str) -> socket.socket:
    """Bind and listen; the file gets the owner and group of its directory, so that a VMM that is not root may connect.

    directory: open; the socket's name in the kernel is the path of it. Raises AlreadyExists where there is something of
    that name, WriteFailed otherwise; then nothing is left.
    """
    path = directory.join(name)
    # A short path that leads through links may have a long one without them.
    address = path if len(os.fsencode(path)) <= MOST_BYTES else f"/proc/self/fd/{directory.fd}/{name}"
    made = False
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    umask = os.umask(0o022)
    try:
        listener.bind(address)
        made = True
        owner = os.fstat(directory.fd)
        # Relative to the directory, and no link is followed: somebody else may write there (V8).
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory.fd, follow_symlinks=False)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if made:
            with contextlib.suppress(OSError):  # the directory was moved meanwhile
                os.unlink(name, dir_fd=directory.fd)
        if error.errno == errno.EADDRINUSE:
            raise AlreadyExists(path, "something came there meanwhile", "Run again.") from error
        raise WriteFailed(
            path, f"the socket could not be made: {os_reason(error)}", way_out(error, "Nothing was started.")
        ) from error
    finally:
        os.umask(umask)
    return listener


def kernel_number(listener: socket.socket) -> int:
    """The number by which /proc/PID/fd names an open socket: "socket:[4711]"."""
    return os.fstat(listener.fileno()).st_ino
