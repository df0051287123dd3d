# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a whole directory in one step: it is built under a hidden name beside its place, and then renamed.

The hidden name is a tombstone's, so that what a crash leaves is an unfinished delete, which the next run finishes.
While it is built its directory is locked; who finishes tombstones locks them first, and so never takes one that is
being built.
"""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    StateError,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NewFile(NamedTuple):
    """A plain file that is to be made, with exactly that mode. name: may lie in one of the tree's directories."""

    name: str
    data: bytes
    mode: int


class NewTree(NamedTuple):
    """A directory that is to be made, with directories (name, mode), files and symbolic links (name, target) in it.

    inherit_owner: it gets the owner of the directory that it is put into. group: its gid, None: that of its maker.
    """

    mode: int
    files: tuple[NewFile, ...] = ()
    directories: tuple[tuple[str, int], ...] = ()
    inherit_owner: bool = False
    links: tuple[tuple[str, str], ...] = ()
    group: int | None = None


class BuiltTree:
    """A tree that is complete under its hidden name, and locked until close(). It ends with put(), or with discard().

    lock_file: a file in it that is locked with it, empty for none.
    """

    def __init__(self, place: Directory, name: str, hidden: Directory, hidden_name: str, lock_file: str = "") -> None:
        self._place = place
        self._name = name
        self._hidden = hidden
        self._hidden_name = hidden_name
        self._lock_file = lock_file
        self._locked: list[int] = []
        self._is_put = False

    def build(self, tree: NewTree, durable: bool) -> None:
        """Make it under the hidden name. Raises WriteFailed, and FileNotFoundError when there is no place for it; then
        it leaves nothing."""
        try:
            os.mkdir(self._hidden_name, 0o700, dir_fd=self._hidden.fd)
        except OSError as error:
            raise self._failed(error) from error
        try:
            with self._place.opened() as place:
                directory = os.open(self._hidden_name, _DIRECTORY, dir_fd=self._hidden.fd)
                self._lock(directory)
                _fill(tree, place, directory, durable)
                if self._lock_file:
                    self._lock(os.open(self._lock_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory))
        except (FileNotFoundError, StateError):
            self.discard()
            raise
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def put(self) -> None:
        """Give it its name. Raises AlreadyExists when that is taken, and WriteFailed."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide

        where = self._place.join(self._name)
        try:
            with self._place.opened() as place:
                if not hide(self._hidden.fd, self._hidden_name, self._name, self._hidden.path, place.fd):
                    raise WriteFailed(where, "it was taken away while it was made", "Run again.")
        except AlreadyExists as error:
            raise AlreadyExists(where, "somebody else has made it meanwhile", "Run again.") from error
        except FileNotFoundError as error:
            raise self._failed(error) from error
        self._is_put = True

    def discard(self) -> None:
        """Remove it, also when it has its name already: what belongs to it could not be made."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide, remove_tree

        if self._is_put:
            with self._place.opened() as place:
                hide(place.fd, self._name, self._hidden_name, place.path, self._hidden.fd)
        remove_tree(self._hidden.fd, self._hidden_name, self._hidden.path)
        self.close()

    def _lock(self, descriptor: int) -> None:
        self._locked.append(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Release its locks: what belongs to it is there as well."""
        for descriptor in self._locked:
            os.close(descriptor)
        self._locked = []

    def _failed(self, error: OSError) -> WriteFailed:
        where = self._place.join(self._name)
        return WriteFailed(
            where, f"it could not be made: {os_reason(error)}", way_out(error, "Nothing of it was kept.")
        )


def _fill(tree: NewTree, place: Directory, descriptor: int, durable: bool) -> None:
    for inner, mode in tree.directories:
        os.mkdir(inner, dir_fd=descriptor)
        os.chmod(inner, mode, dir_fd=descriptor)
    for file in tree.files:
        _make_file(file, descriptor, durable)
    for name, target in tree.links:
        os.symlink(target, name, dir_fd=descriptor)
    if tree.group is not None:
        os.fchown(descriptor, -1, tree.group)
    if tree.inherit_owner:
        above = os.fstat(place.fd)
        os.fchown(descriptor, above.st_uid, above.st_gid)
    os.fchmod(descriptor, tree.mode)
    if durable:
        for inner, _mode in tree.directories:
            _sync_directory(inner, descriptor)
        os.fsync(descriptor)


def _sync_directory(name: str, directory: int) -> None:
    descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_file(file: NewFile, directory: int, durable: bool) -> None:
    descriptor = os.open(file.name, _NEW_FILE, 0o600, dir_fd=directory)
    try:
        view = memoryview(file.data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, file.mode)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_entry(directory: Directory, name: str, mode: int, is_directory: bool) -> bool:
    """Make an empty file or directory with exactly that mode, in one step; False when the name is taken already.

    Raises WriteFailed.
    """
    umask = os.umask(0)
    try:
        if is_directory:
            os.mkdir(name, mode, dir_fd=directory.fd)
        else:
            os.close(os.open(name, _NEW_FILE, mode, dir_fd=directory.fd))
    except FileExistsError:
        return False
    except OSError as error:
        raise WriteFailed(directory.join(name), f"it could not be made: {os_reason(error)}", way_out(error)) from error
    finally:
        os.umask(umask)
    return True
