# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the daemon of a record lives, by which processes, and whether somebody uses it.

A daemon is the recorded one only if pid, start time and command line match; otherwise it is dead, whatever has that pid
now (V4, contracts R7). Its children are found as well: either of them may have been killed alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import NotProved
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.open_sockets import holders_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, describe
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import Record
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class Standing(NamedTuple):
    """main: the recorded process, None where it is gone. others: further processes of the daemon that live.

    clients: connections to it, None where they cannot be counted. reasons: sentences without their full stops. doubt:
    why it may live all the same where none of its processes is found (A2), or empty.
    """

    main: Process | None = None
    others: tuple[Process, ...] = ()
    clients: int | None = 0
    reasons: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def alive(self) -> bool:
        return bool(self.processes)

    @property
    def processes(self) -> tuple[Process, ...]:
        """All that live, the main one first."""
        return (*((self.main,) if self.main else ()), *self.others)


def standing_of(record: Record, view: HostView) -> Standing:
    """Raises NotProved where a process that may be the daemon hides what it is."""
    if record.boot_id != host.boot_id():
        return Standing(reasons=("it was started before this host booted last",))
    main = _main(record, view)
    others = _others(record, main, view)
    clients = clients_of(record.socket_file, view)
    doubt = "" if main or others else view.blind_to(record.pid_namespace)
    return Standing(main, others, clients, tuple(_reasons(record, main, others, clients, view)), doubt)


def clients_of(socket_file: Iterable[tuple[int, int]], view: HostView) -> int | None:
    """How many connections to a daemon's socket there are; None where not every network namespace could be asked."""
    found = sum(one.connections for one in view.sockets.at(list(socket_file)))
    return None if not found and view.sockets.unreadable else found


def _main(record: Record, view: HostView) -> Process | None:
    process = view.processes.by_pid.get(record.pid)
    if process is None or process.dead:
        return None
    if not process.complete:
        if process.state != "?" and process.start_ticks != record.start_ticks:
            return None
        raise NotProved("", f"recorded pid {record.pid} is in use, and what it is cannot be read", "Run as root.")
    same = process.start_ticks == record.start_ticks and process.argv == record.command_line
    return process if same else None


def _others(record: Record, main: Process | None, view: HostView) -> tuple[Process, ...]:
    """Descendants of the main process; and whoever has its command line, and is in its own cgroup or has its socket."""
    table = view.processes.by_pid
    alike = [process for process in table.values() if _is_alike(process, record) and process is not main]
    sockets = {record.socket, *(one.number for one in view.sockets.at(record.socket_file))}
    holding = holders_of(sockets, [process.pid for process in alike])
    found = {process.pid for process in alike if process.pid in holding or _in_own_cgroup(process, record)}
    hidden = [process for process in alike if process.pid not in found and not process.complete]
    if hidden:
        why = f"{describe(hidden[0])} has its command line, and what it is cannot be read"
        raise NotProved("", why, "Run as root.")
    if main is not None:
        found |= {pid for pid in table if _descends(pid, main.pid, table)}
    return tuple(table[pid] for pid in sorted(found) if not table[pid].dead)


def _is_alike(process: Process, record: Record) -> bool:
    """Whether it has the recorded command line, also behind that of the shell that becomes the daemon."""
    return not process.dead and process.argv[-len(record.command_line) :] == record.command_line


def _in_own_cgroup(process: Process, record: Record) -> bool:
    names = {record.unit, *map(os.path.basename, record.cgroups)} - {""}
    return any(names & set(path.split("/")) for path in process.cgroups)


def _descends(pid: int, ancestor: int, table: dict[int, Process]) -> bool:
    seen: set[int] = set()
    while pid in table and pid not in seen:
        seen.add(pid)
        pid = table[pid].ppid
        if pid == ancestor:
            return True
    return False


def _reasons(
    record: Record, main: Process | None, others: tuple[Process, ...], clients: int | None, view: HostView
) -> list[str]:
    if main is not None:
        used = {None: ", and whether anybody uses it cannot be told", 0: ", and nobody uses it"}
        return [f"{describe(main)} serves {record.socket_path}" + used.get(clients, ", and is used")]
    process = view.processes.by_pid.get(record.pid)
    gone = process is None or process.dead
    reasons = [f"recorded pid {record.pid} is {'gone' if gone or process is None else f'now {describe(process)}'}"]
    return reasons + [f"{describe(other)}, which it started, lives on" for other in others]
