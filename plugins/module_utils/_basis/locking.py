# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flock on files and directories, with a deadline and the check that no runtime makes (README.md R2, safety.md C)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from types import TracebackType
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import open_by_others
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    LockTimeout,
    Unreadable,
    WriteFailed,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe, read

_OWN_LOCKS = "/run/lock/sandboxed.containers"
_RETRY_SECONDS = 0.02
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LockPlace(NamedTuple):
    """A lock object: the entry `name` of an open directory, or the directory itself.

    name: file name, or "." for the directory. create_mode: mode of a lock file that may be made, None: never made.
    """

    directory: Directory
    name: str
    create_mode: int | None = None

    @property
    def path(self) -> str:
        return self.directory.path if self.name == "." else self.directory.join(self.name)


class LockBudget:
    """The waiting that a whole task may spend on locks (option lock_timeout), in seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = float(seconds)

    def wait(self) -> bool:
        """Wait one interval for a lock; False when the budget is spent."""
        if self.left <= 0:
            return False
        pause = min(_RETRY_SECONDS, self.left)
        before = time.monotonic()
        time.sleep(pause)
        self.left -= max(pause, time.monotonic() - before)
        return True


class HeldLock:
    """A flock that is held, on the inode that the path names. Closing releases it (K11)."""

    def __init__(self, place: LockPlace, descriptor: int, made: bool) -> None:
        self.place = place
        self.fd = descriptor
        self.made = made
        status = os.fstat(descriptor)
        self.inode = (status.st_dev, status.st_ino)

    def release(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> HeldLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def acquire(place: LockPlace, budget: LockBudget | None, exclusive: bool = True) -> HeldLock | None:
    """Lock the object at `place`; None when it does not exist and is not to be made.

    budget None: try once, never wait (safety.md C1: never wait while holding). After each acquisition the locked
    inode is compared with the one that the path names, and the whole is begun again if they differ (R2).
    Waiting is done by trying again with a fresh descriptor, so that our own waiters never look like a runtime that
    waits (C3). Raises LockTimeout, which names the holder, and Unreadable for what is no lock object.
    """
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    while True:
        opened = _open(place)
        if opened is None:
            return None
        descriptor, made = opened
        kept = False
        try:
            fcntl.flock(descriptor, operation)
            if _is_current(place, descriptor):
                kept = True
                return HeldLock(place, descriptor, made)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise Unreadable(place.path, f"it cannot be locked: {os_reason(error)}") from error
            if budget is None or not budget.wait():
                raise _timeout(place, descriptor, budget) from error
        finally:
            if not kept:
                os.close(descriptor)


def _open(place: LockPlace) -> tuple[int, bool] | None:
    """A descriptor of the lock object and whether this call made it; None when it is absent and stays so."""
    flags = _OPEN_FLAGS | (os.O_DIRECTORY if place.name == "." else 0)
    try:
        if place.create_mode is None:
            return _checked(place, os.open(place.name, flags, dir_fd=place.directory.fd)), False
        try:
            made = os.open(place.name, flags | os.O_CREAT | os.O_EXCL, place.create_mode, dir_fd=place.directory.fd)
            return made, True
        except FileExistsError:
            return _checked(place, os.open(place.name, flags, dir_fd=place.directory.fd)), False
    except FileNotFoundError:
        # with create_mode the file went away between the two opens: its holder finished a delete, so begin again
        return None if place.create_mode is None else _open(place)
    except OSError as error:
        kind = WriteFailed if error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT) else Unreadable
        raise kind(place.path, f"the lock cannot be opened: {os_reason(error)}", "Nothing was changed.") from error


def _checked(place: LockPlace, descriptor: int) -> int:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or (place.name == "." and stat.S_ISDIR(mode)):
        return descriptor
    os.close(descriptor)
    raise Unreadable(place.path, "it should be a lock file and is none", "Remove what was put there in its place.")


def _is_current(place: LockPlace, descriptor: int) -> bool:
    """Whether the path still names the locked inode (R2): same device, same inode, still linked."""
    held = os.fstat(descriptor)
    try:
        if place.name == ".":
            named = os.stat(place.directory.path, follow_symlinks=False)
        else:
            named = os.stat(place.name, dir_fd=place.directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino) and held.st_nlink > 0


def _timeout(place: LockPlace, descriptor: int, budget: LockBudget | None) -> LockTimeout:
    status = os.fstat(descriptor)
    inode = (status.st_dev, status.st_ino)
    pids = {holder.pid for holder in open_by_others([inode]).lock_holders(inode)}
    holders = [process for process in map(read, sorted(pids)) if process is not None]
    shown = ", ".join(describe(holder) for holder in holders[:3])
    who = f"is held by {shown}" if shown else "is held, and its holder is not visible from here"
    waited = f"waited {budget.seconds:g} s" if budget is not None else "did not wait"
    return LockTimeout("", f"the lock {place.path} {who}; {waited}", "Raise lock_timeout, or try again when it is free.")


def own_lock_place(root: str) -> LockPlace:
    """Our own lock for a tree whose format has none (safety.md C2). It orders our own runs only and is never unlinked.

    root: the real path of the tree. Raises Unreadable when somebody else owns the directory of our locks.
    """
    directory = open_below("/", _OWN_LOCKS, create_mode=0o700)
    owner = os.fstat(directory.fd).st_uid
    if owner not in (0, os.geteuid()):
        directory.close()
        raise Unreadable(_OWN_LOCKS, f"it belongs to user {owner}", "Remove it: it must belong to root.")
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
    return LockPlace(directory, f"{name}.lock", 0o600)
