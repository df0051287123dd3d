# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Views of hosts on which a daemon runs, or something else."""

from __future__ import annotations

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, ProcessTable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import Bound, Listeners
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_virtiofsd import (
    COMMAND_LINE,
    FILE,
    NUMBER,
    PID,
)

HIDDEN = ("the network namespaces of 2 processes cannot be read",)


def process(argv: tuple[str, ...] = COMMAND_LINE, pid: int = PID, **more: Any) -> Process:
    program = argv[0].rsplit("/", 1)[-1] if argv else "kthread"
    exe = argv[0] if argv else None
    base = Process(pid, 1, "S", 100, program, exe, argv, "/", "/", ("/user.slice",), 0, True, False)
    return base._replace(**more)


def client(number: int, name: str = "/run/unit-web.sock") -> Bound:
    return Bound(FILE, name, False, NUMBER + number)


def view_of(
    *processes: Process,
    bound: tuple[Bound, ...] = (Bound(FILE, "/run/unit-web.sock", True, NUMBER),),
    unreadable: tuple[str, ...] = (),
    asserted: bool | None = True,
) -> HostView:
    view = HostView("/", asserted)
    view.once("processes", lambda: ProcessTable(processes))
    view.once("sockets", lambda: Listeners(list(bound), unreadable))
    return view
