# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes to mappings: made in one step each, so that no reader ever finds a container that leads nowhere."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import tombstone_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide, remove_tree
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import MODE
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import gone_meanwhile

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class MakeMapping(NamedTuple):
    """A new mapping: both directories, or none of them (M1)."""

    directory: Directory
    name: str
    sandbox_id: str
    role: str = "mapping"
    sign: str = "+"

    @property
    def path(self) -> str:
        return f"{self.directory.join(self.name)}/{self.sandbox_id}"

    def make(self, above: Directory, durable: bool) -> None:
        """Build it under a hidden name in `above`, and rename that. Raises AlreadyExists where somebody else has made
        it, and WriteFailed; then nothing of it is left.

        The hidden name is a tombstone's, so that the next run finishes what a crash leaves. Nobody does so meanwhile:
        that takes our lock of the root, which we hold.
        """
        hidden = tombstone_name(self.name)
        try:
            self._build(above.fd, hidden, durable)
            if not hide(above.fd, hidden, self.name, above.path, self.directory.fd):
                raise WriteFailed(self.path, "its directory was removed meanwhile", "Run again.")
        except AlreadyExists as error:
            remove_tree(above.fd, hidden, above.path)
            raise AlreadyExists(self.path, "somebody else has made it meanwhile", "Run again.") from error
        except WriteFailed:
            remove_tree(above.fd, hidden, above.path)
            raise
        except OSError as error:
            remove_tree(above.fd, hidden, above.path)
            why = f"it could not be made: {os_reason(error)}"
            raise WriteFailed(self.path, why, way_out(error, "Nothing of it was kept.")) from error

    def _build(self, above: int, hidden: str, durable: bool) -> None:
        umask = os.umask(0)  # the contract's mode, whole and at once
        try:
            os.mkdir(hidden, MODE, dir_fd=above)
            os.mkdir(f"{hidden}/{self.sandbox_id}", MODE, dir_fd=above)
        finally:
            os.umask(umask)
        if durable:
            outer = os.open(hidden, _DIRECTORY, dir_fd=above)
            try:
                os.fsync(outer)
            finally:
                os.close(outer)


class LeaveSandbox(NamedTuple):
    """An entry that a mapping has before it is moved, for the diff: MoveMapping does it."""

    directory: Directory
    name: str
    sandbox_id: str
    role: str = "mapping"
    sign: str = "-"

    @property
    def path(self) -> str:
        return f"{self.directory.join(self.name)}/{self.sandbox_id}"


class MoveMapping(NamedTuple):
    """Lead a container's directory to another sandbox, or to one at all, by one rename or mkdir in it: no reader ever
    finds none where there was one (M2). before: its entries, of which but one is left."""

    directory: Directory
    name: str
    identity: tuple[int, int]
    before: tuple[str, ...]
    after: str
    role: str = "mapping"
    sign: str = "+"

    @property
    def path(self) -> str:
        return f"{self.directory.join(self.name)}/{self.after}"

    def make(self) -> None:
        """Raises AlreadyExists, ChangedMeanwhile, Mounted and WriteFailed."""
        done: list[str] = []
        try:
            with self.directory.child(self.name).opened() as opened:
                status = os.fstat(opened.fd)
                if (status.st_dev, status.st_ino) != self.identity:
                    raise ChangedMeanwhile(opened.path, "it was replaced since it was looked at", "Run again.")
                self._move(opened, done)
        except FileNotFoundError as error:
            raise gone_meanwhile(self.directory.child(self.name)) from error
        except OSError as error:
            failed = WriteFailed(self.path, f"it could not be made: {os_reason(error)}", way_out(error))
            failed.changed = bool(done)
            raise failed from error

    def _move(self, opened: Directory, done: list[str]) -> None:
        others = [name for name in self.before if name != self.after]
        if not self.before:
            umask = os.umask(0)
            try:
                os.mkdir(self.after, MODE, dir_fd=opened.fd)
            finally:
                os.umask(umask)
        elif self.after not in self.before:
            if not hide(opened.fd, others[0], self.after, opened.path):
                raise FileNotFoundError(opened.join(others[0]))
            done.append(others.pop(0))
        for name in others:
            with suppress(FileNotFoundError):  # somebody else tidies up as well
                os.rmdir(name, dir_fd=opened.fd)  # refused by the kernel where something was put into it
                done.append(name)
