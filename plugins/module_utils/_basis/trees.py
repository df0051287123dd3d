# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hiding and removing trees relative to open directories (safety.md D1-D3, contracts README R4-R6).

What protects what lies outside of the tree: symbolic links are unlinked and never followed; no directory is opened
across a mount of our own namespace, and the kernel refuses (EBUSY) to remove a mount point. It does not refuse for a
directory or file that is a mount point in another namespace only: that mount is silently detached there. The caller
must have proved by MountSurvey.in_the_way that there is none.
"""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    Mounted,
    StateError,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import mount_id_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WITHIN = syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_BENEATH
# Directories that are open at once. Above that the outermost is closed, and opened again through ".." on the way back.
_OPEN_AT_ONCE = 16
# Names of sub-directories that are remembered for one level, so that memory does not grow with the directory.
_BATCH = 512
# Times that a directory which was read to its end is found not empty; in a tree that nobody writes to it never happens.
_ROUNDS = 64


def hide(parent_fd: int, name: str, tombstone: str, where: str, tombstone_fd: int | None = None) -> bool:
    """Rename a tree to its tombstone in one step, never replacing anything. False: name is not there.

    where: the path of parent_fd, for messages. tombstone_fd: the directory of the tombstone, if it is another one. The
    way back (safety.md C2) is the same call with the names exchanged. The caller syncs the directories. A file system
    that cannot rename without replacing (EINVAL) gets an empty directory of the tombstone's name first, which only a
    directory can then replace and only while it is empty: so nothing is ever lost there either; a crash in between
    leaves an empty tombstone.
    Raises AlreadyExists, Mounted (name is a mount point), WriteFailed.
    """
    target = parent_fd if tombstone_fd is None else tombstone_fd
    try:
        try:
            syscalls.rename_noreplace(parent_fd, name, target, tombstone)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            _rename_onto_new_directory(parent_fd, name, target, tombstone)
    except OSError as error:
        path = os.path.join(where, name)
        if error.errno == errno.ENOENT:
            return False
        if error.errno == errno.EEXIST:
            raise AlreadyExists(os.path.join(where, tombstone), "the name to rename to is taken") from error
        if error.errno == errno.EBUSY:
            raise Mounted(path, "it is a mount point") from error
        if error.errno == errno.EXDEV:
            why = f"it cannot be renamed to {tombstone}, which lies on another file system"
            raise WriteFailed(
                path, why, "Mount the directory above them instead of the one that is mounted."
            ) from error
        raise WriteFailed(path, f"cannot be renamed to {tombstone}: {os_reason(error)}", way_out(error)) from error
    return True


def _rename_onto_new_directory(source_fd: int, name: str, target_fd: int, tombstone: str) -> None:
    os.mkdir(tombstone, 0o700, dir_fd=target_fd)  # EEXIST: taken
    try:
        os.rename(name, tombstone, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    except OSError:
        os.rmdir(tombstone, dir_fd=target_fd)
        raise


def sync_dir(fd: int, where: str) -> None:
    """fsync a directory; returns where its file system does not know that (EINVAL). Raises WriteFailed."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise WriteFailed(where, f"cannot be synced: {os_reason(error)}") from error


def remove_tree(parent_fd: int, name: str, where: str, is_directory: bool = False) -> bool:
    """Remove the tree, file or symbolic link of that name. False: it is not there. Nothing is synced.

    where: the path of parent_fd, for messages. is_directory: it was one just now. It stops at the first error, with
    the path of that entry: what is left lies under a tombstone, and the next run goes on with it. Memory and
    descriptors stay bounded for any depth and size.
    Raises Mounted (met before anything across it was touched), WriteFailed, ChangedMeanwhile (entries are added all the
    time, or a directory was moved away), Unreadable (before Linux 5.6, /proc does not tell the mount of a descriptor).
    """
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"not a name: {name!r}")
    removal = _Removal(parent_fd, where)
    try:
        return removal.run(name, is_directory)
    except StateError as error:
        error.changed = removal.removed_any
        raise
    finally:
        removal.close()


_openat2: list[bool] = []  # whether the system call is to be had, once that is known


class _Level:
    """A directory that is being emptied. fd -1: closed for now; identity says what must be found again."""

    __slots__ = ("batches", "fd", "identity", "more", "name", "waiting")

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.identity = (0, 0)
        self.waiting: list[str] = []  # sub-directories that were not empty
        self.more = True  # not read to its end yet
        self.batches = -1  # that may still fill up; -1: none did so far


class _Removal:
    """The state of one remove_tree: the path of directories from the tree's top to where we are."""

    def __init__(self, parent_fd: int, where: str) -> None:
        self._parent_fd = parent_fd
        self._where = where
        self._levels: list[_Level] = []
        self.removed_any = False
        self._closed = 0  # so many of the outermost levels are closed
        self._has_openat2 = True
        self._refills = (
            0  # for the whole tree: a level of its own is made anew each time that somebody makes its directory again
        )
        # For each depth, whether the last directory there was empty. It decides only what is tried first: rmdir costs
        # less than opening an empty directory, and is lost on the others.
        self._guess: list[bool] = [True]

    def close(self) -> None:
        for level in self._levels[self._closed :]:
            os.close(level.fd)

    def run(self, name: str, is_directory: bool) -> bool:
        self._has_openat2 = self._try_openat2()
        if is_directory:
            self._descend(self._parent_fd, name)
            if self._levels:
                self._work()
                return True
        for attempt in range(_ROUNDS):
            try:
                os.unlink(name, dir_fd=self._parent_fd)  # never asks a mounted file system, as stat would
                return True
            except FileNotFoundError:
                return attempt > 0
            except OSError as error:
                if error.errno != errno.EISDIR:
                    self._fail(error, name)
            if self._remove_empty(self._parent_fd, name):
                return True
            self._descend(self._parent_fd, name)
            if self._levels:
                self._work()
                return True
        raise ChangedMeanwhile(self._path(name), "it is replaced while it is being removed", "Stop who does that.")

    def _work(self) -> None:
        """Empty directories from the inside out; a loop, since a tree may be deeper than any recursion."""
        while self._levels:
            level = self._levels[-1]
            if level.more and not level.waiting:
                self._empty(level)
            if level.waiting:
                self._descend(level.fd, level.waiting.pop())
            elif not level.more:
                self._ascend()

    def _empty(self, level: _Level) -> None:
        """Unlink what is not a directory, remove what is an empty one, and remember the others, up to a batch."""
        fd, waiting, name = level.fd, level.waiting, ""
        unlink, rmdir = os.unlink, os.rmdir
        depth = len(self._levels)
        if depth >= len(self._guess):
            self._guess.append(True)
        level.more = False
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    try:
                        if not entry.is_dir(follow_symlinks=False):
                            unlink(name, dir_fd=fd)
                            self.removed_any = True
                            continue
                        if self._guess[depth]:
                            rmdir(name, dir_fd=fd)
                            self.removed_any = True
                            continue
                    except OSError as error:
                        # EISDIR, ENOTDIR: replaced since it was read; the next round sees what it is now.
                        if error.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR):
                            continue
                        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                            raise
                        self._guess[depth] = False
                    waiting.append(name)
                    if len(waiting) >= _BATCH:
                        self._begin_another_batch(level)
                        break
            if not name:
                self._guess[depth - 1] = True
        except OSError as error:
            self._fail(error, name)

    def _begin_another_batch(self, level: _Level) -> None:
        """The directory is to be read again; but not for ever, if somebody fills it faster than we empty it."""
        level.more = True
        if level.batches < 0:
            with os.scandir(level.fd) as entries:
                level.batches = sum(1 for _entry in entries) // _BATCH + _ROUNDS
        level.batches -= 1
        if level.batches < 0:
            self._added()

    def _descend(self, directory_fd: int, name: str) -> None:
        try:
            fd = self._open(directory_fd, name)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise Mounted(self._path(name), "something is mounted there") from error
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return  # replaced since it was read: the level above, or the next run, sees what it is now
            self._fail(error, name)
        self._levels.append(_Level(name, fd))
        if len(self._levels) - self._closed > _OPEN_AT_ONCE:
            outermost = self._levels[self._closed]
            outermost.identity = _identity(outermost.fd)
            os.close(outermost.fd)
            outermost.fd = -1
            self._closed += 1

    def _ascend(self) -> None:
        """Remove the innermost directory, which was read to its end, and go back to the one around it."""
        level = self._levels[-1]
        if len(self._levels) - self._closed == 1 and self._closed:
            self._reopen(self._levels[-2], level.fd)
        above = self._levels[-2].fd if len(self._levels) > 1 else self._parent_fd
        name = level.name
        self._levels.pop()  # so that a path in an error is right
        removed = False
        try:
            removed = self._remove_empty(above, name)
        finally:
            if removed:
                os.close(level.fd)
            else:
                self._levels.append(level)
        if not removed:
            level.more = True
            self._refills += 1
            if self._refills >= _ROUNDS:
                self._added()

    def _reopen(self, level: _Level, below_fd: int) -> None:
        """Open the directory around below_fd again, and make sure that it still is the one that we came through."""
        try:
            fd = os.open("..", _DIRECTORY, dir_fd=below_fd)
        except OSError as error:
            self._fail(error, "")
        if _identity(fd) != level.identity:
            os.close(fd)
            raise ChangedMeanwhile(self._path(""), "the directory was moved while it was being removed")
        level.fd = fd
        self._closed -= 1

    def _remove_empty(self, directory_fd: int, name: str) -> bool:
        """rmdir; False: it is not empty.

        Gone, or replaced by something else, counts as removed: the level above looks again.
        """
        try:
            os.rmdir(name, dir_fd=directory_fd)
            self.removed_any = True
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self._fail(error, name)
        return True

    def _open(self, directory_fd: int, name: str) -> int:
        if self._has_openat2:
            return syscalls.open_beneath(directory_fd, name, _DIRECTORY, _WITHIN)
        # O_PATH opens without asking the file system, which might hang if it is another one.
        path_fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
        try:
            if mount_id_of(path_fd) != mount_id_of(directory_fd):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
            return os.open(".", _DIRECTORY, dir_fd=path_fd)
        finally:
            os.close(path_fd)

    def _try_openat2(self) -> bool:
        """Whether openat2 works here, asked once. ENOSYS: before Linux 5.6.

        EPERM: some containers' filters say so of what they do not know.
        """
        if not _openat2:
            try:
                os.close(syscalls.open_beneath(self._parent_fd, ".", os.O_PATH | os.O_DIRECTORY, _WITHIN))
                _openat2.append(True)
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.EPERM):
                    self._fail(error, "")
                _openat2.append(False)
        return _openat2[0]

    def _added(self) -> NoReturn:
        raise ChangedMeanwhile(self._path(""), "entries are added while it is being removed", "Stop who adds them.")

    def _path(self, name: str) -> str:
        return os.path.join(self._where, *[level.name for level in self._levels], name).rstrip("/")

    def _fail(self, error: OSError, name: str) -> NoReturn:
        path = self._path(name)
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise Mounted(path, "something is mounted there") from error
        raise WriteFailed(path, f"cannot be removed: {os_reason(error)}", way_out(error)) from error


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return (status.st_dev, status.st_ino)
