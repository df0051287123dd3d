# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flock on files and directories, with a deadline and the check that no runtime makes (README.md R2, safety.md C)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    LockTimeout,
    Unreadable,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget

_OWN_LOCKS = "/run/lock/sandboxed.containers"
_MOST_REPLACED = 1000
_NO_INODE = (0, 0)
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LockPlace(NamedTuple):
    """A lock object: an entry of an open directory, or that directory itself.

    name: file name, also one below (the caller knows that what is between is no link), or "." for the directory.
    create_mode: mode of a lock file that may be made, None: never made. is_directory: the entry is one. is_common:
    it is for many objects, which may share it inside one process. is_optional: one that is held is passed over.
    """

    directory: Directory
    name: str
    create_mode: int | None = None
    is_directory: bool = False
    is_common: bool = False
    is_optional: bool = False

    @property
    def path(self) -> str:
        return self.directory.path if self.name == "." else self.directory.join(self.name)


class HeldLock:
    """A flock that is held, on the inode that the path names. Closing releases it (K11)."""

    def __init__(self, place: LockPlace, descriptor: int, inode: Inode, made: bool) -> None:
        self.place = place
        self.fd = descriptor
        self.inode = inode
        self.made = made

    def release(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def shared(self) -> HeldLock:
        """The same lock for somebody else in this process: it is free when both have released it. Raises Unreadable."""
        try:
            return HeldLock(self.place, os.dup(self.fd), self.inode, made=False)
        except OSError as error:
            raise Unreadable(self.place.path, os_reason(error)) from error

    def __enter__(self) -> HeldLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(place: LockPlace, budget: LockBudget | None, exclusive: bool = True) -> HeldLock | None:
    """Lock the object at `place`; None when it does not exist and is not to be made.

    budget None: try once, never wait (safety.md C1: never wait while holding). After each acquisition the locked
    inode is compared with the one that the path names, and the whole is begun again if they differ (R2).
    Waiting is done by trying again with a fresh descriptor, so that our own waiters never look like a runtime that
    waits (C3). Raises LockTimeout, which names the holder, ChangedMeanwhile for a lock object that is replaced all
    the time, Unreadable and WriteFailed for what cannot be opened or made.
    """
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    replaced = 0
    while True:
        result = _try(place, operation)
        if not isinstance(result, _Missed):
            return result
        if result.busy:
            if budget is None or not budget.wait():
                raise _timeout(place, result.inode, budget)
            continue
        replaced += 1
        if replaced > _MOST_REPLACED:
            raise ChangedMeanwhile(place.path, "it is replaced again and again", "Find out who does that.")


class _Missed(NamedTuple):
    """A try that failed: busy, or the locked inode was not the one that the path names."""

    inode: Inode
    busy: bool


def _try(place: LockPlace, operation: int) -> HeldLock | _Missed | None:
    """One try; no descriptor stays open unless the lock is held."""
    opened = _open(place)
    if opened is None:
        return None if place.create_mode is None else _Missed(_NO_INODE, busy=False)
    descriptor, made = opened
    kept = False
    try:
        status = os.fstat(descriptor)
        _refuse_another_kind(place, status.st_mode)
        inode = (status.st_dev, status.st_ino)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            return _Missed(inode, busy=True)
        if not _is_current(place, inode):
            return _Missed(inode, busy=False)
        kept = True
        return HeldLock(place, descriptor, inode, made)
    except OSError as error:
        if made:  # nobody can hold what cannot be locked
            with contextlib.suppress(OSError):
                os.unlink(place.name, dir_fd=place.directory.fd)
        raise Unreadable(place.path, f"it cannot be locked: {os_reason(error)}") from error
    finally:
        if not kept:
            os.close(descriptor)


def _open(place: LockPlace) -> tuple[int, bool] | None:
    """A descriptor of the lock object and whether this call made it; None when there is, or just was, none."""
    flags = _OPEN_FLAGS | (os.O_DIRECTORY if place.name == "." or place.is_directory else 0)
    try:
        if place.create_mode is not None:
            new = _make(place, flags)
            if new is not None:
                return new, True
        return os.open(place.name, flags, dir_fd=place.directory.fd), False
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(
            place.path, f"the lock cannot be opened: {os_reason(error)}", "Nothing was changed."
        ) from error


def _make(place: LockPlace, flags: int) -> int | None:
    """A descriptor of a new lock file; None where there is one."""
    try:
        return os.open(
            place.name, flags | os.O_CREAT | os.O_EXCL, place.create_mode or 0o600, dir_fd=place.directory.fd
        )
    except FileExistsError:
        return None
    except OSError as error:
        raise WriteFailed(
            place.path, f"the lock cannot be made: {os_reason(error)}", way_out(error, "Nothing was changed.")
        ) from error


def _refuse_another_kind(place: LockPlace, mode: int) -> None:
    if stat.S_ISDIR(mode) if place.name == "." or place.is_directory else stat.S_ISREG(mode):
        return
    raise Unreadable(place.path, "it should be a lock file and is none", "Remove what was put there in its place.")


def _is_current(place: LockPlace, inode: Inode) -> bool:
    """Whether the path still names the locked inode (R2): same device, same inode, still linked."""
    try:
        if place.name == ".":
            named = os.stat(place.directory.path, follow_symlinks=False)
        else:
            named = os.stat(place.name, dir_fd=place.directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return inode == (named.st_dev, named.st_ino)


def _timeout(place: LockPlace, inode: Inode, budget: LockBudget | None) -> LockTimeout:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import lock_holders
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe

    holders = lock_holders(inode)
    shown = ", ".join(describe(holder) for holder in holders[:3])
    who = f"is held by {shown}" if shown else "is held, and its holder is not visible from here"
    if budget is None:
        return LockTimeout("", f"the lock {place.path} {who}; did not wait", "Try again when it is free.")
    waited = f"this task has waited {budget.seconds:g} s"
    return LockTimeout(
        "", f"the lock {place.path} {who}; {waited}", "Raise lock_timeout, or try again when it is free."
    )


def raise_if_held(place: LockPlace, inode: Inode) -> None:
    """LockTimeout, with the holder, when another process holds the lock; nothing is tried (safety.md B3)."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import lock_holders

    if lock_holders(inode):
        raise _timeout(place, inode, None)


def own_lock_place(root: str) -> LockPlace:
    """Our own lock for a tree whose format has none (safety.md C2). It orders our own runs only and is never unlinked.

    root: the real path of the tree. Raises Unreadable when the directory of our locks is a link or somebody else's:
    /run/lock is writable for everybody.
    """
    parent, name = os.path.split(_OWN_LOCKS)
    with open_below("/", parent, create_mode=0o755) as locks:
        try:
            os.mkdir(name, 0o700, dir_fd=locks.fd)
        except FileExistsError:
            pass  # ours from before, which is what is checked next
        except OSError as error:
            raise WriteFailed(_OWN_LOCKS, f"it cannot be made: {os_reason(error)}", way_out(error)) from error
        try:
            descriptor = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=locks.fd)
        except OSError as error:
            remedy = way_out(error, "Remove what was put there in its place.")
            raise Unreadable(_OWN_LOCKS, os_reason(error), remedy) from error
        directory = Directory(descriptor, locks.join(name))
    owner = os.fstat(directory.fd).st_uid
    if owner not in (0, os.geteuid()):
        directory.close()
        raise Unreadable(_OWN_LOCKS, f"it belongs to user {owner}", "Remove it: it must belong to root.")
    return LockPlace(directory, _own_lock_name(root), 0o600, is_common=True)


def own_lock_is_held(root: str) -> bool:
    """Whether another process holds our own lock for a tree. Nothing is made or tried (safety.md B3)."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import lock_holders

    try:
        status = os.stat(f"{_OWN_LOCKS}/{_own_lock_name(root)}", follow_symlinks=False)
    except OSError:
        return False
    return bool(lock_holders((status.st_dev, status.st_ino)))


def _own_lock_name(root: str) -> str:
    return f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.lock"
