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
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide, remove_tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NewFile(NamedTuple):
    """A plain file that is to be made, with exactly that mode. name: may lie in one of the tree's directories."""

    name: str
    data: bytes
    mode: int


class NewTree(NamedTuple):
    """A directory that is to be made, with directories (name, mode) and files in it.

    inherit_owner: it gets the owner of the directory that it is put into.
    """

    mode: int
    files: tuple[NewFile, ...] = ()
    directories: tuple[tuple[str, int], ...] = ()
    inherit_owner: bool = False


def make_tree(tree: NewTree, place: Directory, name: str, hidden: Directory, hidden_name: str, durable: bool) -> None:
    """Make the tree as `name` in the open directory `place`, by way of `hidden_name` in the open directory `hidden`.

    Both are on one file system. The caller syncs the two directories. Every error leaves nothing.
    Raises AlreadyExists when the name is taken, WriteFailed.
    """
    where = place.join(name)
    try:
        os.mkdir(hidden_name, 0o700, dir_fd=hidden.fd)
    except OSError as error:
        raise _failed(where, error) from error
    try:
        _fill(tree, place, hidden, hidden_name, durable)
        if not hide(hidden.fd, hidden_name, name, hidden.path, place.fd):
            raise WriteFailed(where, "it was taken away while it was made", "Run again.")
    except OSError as error:
        remove_tree(hidden.fd, hidden_name, hidden.path)
        raise _failed(where, error) from error
    except AlreadyExists as error:
        remove_tree(hidden.fd, hidden_name, hidden.path)
        raise AlreadyExists(where, "somebody else has made it meanwhile", "Run again.") from error
    except StateError:
        remove_tree(hidden.fd, hidden_name, hidden.path)
        raise


def _failed(where: str, error: OSError) -> WriteFailed:
    return WriteFailed(where, f"it could not be made: {os_reason(error)}", "Nothing of it was kept.")


def _fill(tree: NewTree, place: Directory, hidden: Directory, name: str, durable: bool) -> None:
    descriptor = os.open(name, _DIRECTORY, dir_fd=hidden.fd)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for inner, mode in tree.directories:
            os.mkdir(inner, dir_fd=descriptor)
            os.chmod(inner, mode, dir_fd=descriptor)
        for file in tree.files:
            _make_file(file, descriptor, durable)
        if tree.inherit_owner:
            above = os.fstat(place.fd)
            os.fchown(descriptor, above.st_uid, above.st_gid)
        os.fchmod(descriptor, tree.mode)
        if durable:
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
    """Make an empty file or directory with exactly that mode; False when there is an entry of that name already.

    Raises WriteFailed.
    """
    try:
        if is_directory:
            os.mkdir(name, 0o700, dir_fd=directory.fd)
            os.chmod(name, mode, dir_fd=directory.fd)
        else:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=directory.fd)
            os.fchmod(descriptor, mode)
            os.close(descriptor)
    except FileExistsError:
        return False
    except OSError as error:
        raise WriteFailed(directory.join(name), f"it could not be made: {os_reason(error)}") from error
    return True
