# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded virtiofsd daemons as objects of a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_origin import sandbox_of
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import SUFFIX, Record
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_records import RunDir
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_standing import standing_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    Candidate,
    identity_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_STOP_SECONDS = 10.0


class DaemonCandidate(Candidate):
    """The record of a virtiofsd that this collection has started."""

    kind = "daemon"

    def __init__(self, run_dir: RunDir, name: str) -> None:
        self.run_dir, self.name = run_dir, name
        self._record: Record | None = None
        self._status: FileFacts | None = None

    def _names(self) -> frozenset[str]:
        """A daemon's name is the user's own; what ties it is the sandbox that its paths name."""
        if self._record is None:
            return frozenset()
        return frozenset({sandbox_of((str(self._record.options["shared_dir"]), self._record.socket_path))} - {""})

    def _paths(self) -> list[str]:
        return [self.run_dir.directory.join(self.name + SUFFIX)]

    def _identity(self) -> dict[str, int]:
        return identity_of(self._status) if self._status is not None else {}

    def _facts(self) -> list[FileFacts]:
        return [self._status] if self._status is not None else []

    def _read(self, view: HostView, held: bool) -> bool:
        self._status = look(self.run_dir.directory, self.name + SUFFIX)
        self._record = self.run_dir.read(self.name)
        return self._record is not None

    def evidence(self, view: HostView) -> Evidence:
        if self._record is None:
            return Evidence(unknown=("it was not read",))
        standing = standing_of(self._record, view, self.run_dir)
        if standing.alive:
            return Evidence(owners=standing.reasons)
        return Evidence(dead=standing.reasons, blind=standing.doubt)

    def pids(self, view: HostView) -> set[int]:
        """Of its processes that live. Raises StateError where that is not known: none of them is a stray then."""
        record = self._record or self.run_dir.read(self.name)
        return {one.pid for one in standing_of(record, view, self.run_dir).processes} if record else set()


def find_daemons(host_root: str) -> Iterator[DaemonCandidate]:
    run_dir = RunDir(host_root, None)
    yield from (DaemonCandidate(run_dir, one) for one in run_dir.names())
