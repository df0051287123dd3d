# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's objects as plain values, for tests that decide and report."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, ProcessTable
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    Candidate,
    Judged,
    identity_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, Evidence
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


def facts_of(size: int = 0, inode: int = 1, changed: float = 0.0, kind: int = stat.S_IFREG) -> FileFacts:
    """What a look at a file would give."""
    known: dict[str, Any] = dict.fromkeys(FileFacts._fields, 0)
    return FileFacts(**{**known, "mode": kind | 0o600, "inode": inode, "size": size, "ctime_ns": int(changed * 1e9)})


class Thing(Candidate):
    """An object that is nowhere."""

    def __init__(self, kind: str, name: str, layout: str = "", facts: tuple[FileFacts, ...] = (facts_of(),)) -> None:
        self.kind, self.name, self.layout = kind, name, layout
        self._status = facts

    def _paths(self) -> list[str]:
        return [f"/run/{self.kind}/{self.name}"]

    def _identity(self) -> dict[str, int]:
        return identity_of(self._status[0]) if self._status else {}

    def _facts(self) -> tuple[FileFacts, ...]:
        return self._status

    def _read(self, view: HostView, held: bool) -> bool:
        return True

    def evidence(self, view: HostView) -> Evidence:
        return Evidence()


def judged(kind: str, name: str, verdict: str = LEFTOVER, layout: str = "", **more: Any) -> Judged:
    """An object with its verdict. more: further fields of Judged."""
    return Judged(Thing(kind, name, layout), verdict, ("no process names it",), **more)


def scan_of(*objects: Judged, problems: tuple[str, ...] = (), engines: tuple[str, ...] = ()) -> Scan:
    """What a scan found, all of it selected."""
    return Scan(list(objects), list(objects), problems, engines)


def process(command: str, pid: int = 7, **more: Any) -> Process:
    """A process with these arguments, parted by blanks. more: further fields."""
    argv = tuple(command.split())
    program = argv[0].rsplit("/", 1)[-1]
    base = Process(pid, 1, "S", 100, program, argv[0], argv, "/", "/", ("/user.slice",), 0, True, False)
    return base._replace(**more)


def view_of(*processes: Process, nested: Mapping[int, Any] = MappingProxyType({}), host_root: str = "/") -> HostView:
    """A host with these processes alone. nested: the numbers of some in each pid namespace."""
    view = HostView(host_root, True)
    view.once("processes", lambda: ProcessTable(processes))
    for one in processes:
        numbers = nested.get(one.pid, (one.pid,))
        view.once(("namespace pids", one.pid), lambda numbers=numbers: numbers)  # type: ignore[misc]
        view.once(("uids", one.pid), lambda one=one: frozenset({one.uid}))  # type: ignore[misc]
        view.once(("mount namespace", one.pid), view.mount_namespace)
        view.once(("environment", one.pid), dict)
    return view
