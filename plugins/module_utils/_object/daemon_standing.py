# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the daemon of a record lives, by which processes, and whether somebody uses it.

A daemon is the recorded one only if pid, start time and command line match; otherwise it is dead, whatever has that pid
now (V4, contracts R7). Its children are found as well: either of them may have been killed alone. Daemons of the same
share have the same command line, and numbers of files are used again: neither makes one of them another one's (E1).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import NotProved
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.open_sockets import holders_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, describe
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import Record
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import Bound
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_records import RunDir

_BY_DESCRIPTOR = "/proc/self/fd/"  # what listen_at binds to where a path is too long


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


def standing_of(record: Record, view: HostView, run_dir: RunDir | None = None) -> Standing:
    """run_dir: where the record lies, beside those of daemons that are others.

    Raises NotProved where a process that may be the daemon hides what it is, StateError for a record of another one
    that may be whose a process is, and cannot be read.
    """
    if record.boot_id != host.boot_id():
        return Standing(reasons=("it was started before this host booted last",))
    main = _main(record, view)
    others = _others(record, main, view, run_dir)
    clients = clients_of(record, view)
    doubt = "" if main or others else view.blind_to(record.pid_namespace)
    return Standing(main, others, clients, tuple(_reasons(record, main, others, clients, view)), doubt)


def clients_of(record: Record, view: HostView) -> int | None:
    """How many connections to a daemon's socket there are; None where not every network namespace could be asked."""
    found = sum(one.connections for one in _sockets_of(record, view))
    return None if not found and view.sockets.unreadable else found


def _sockets_of(record: Record, view: HostView) -> list[Bound]:
    """Its listener and connections, without those of a later socket file that got the number of its own."""
    return [
        one
        for one in view.sockets.at(record.socket_file)
        if (one.number == record.socket if one.listening else _is_address(one.name, record))
    ]


def _is_address(name: str, record: Record) -> bool:
    if record.address:
        return name == record.address
    folder, last = os.path.split(record.socket_path)
    if name.startswith(_BY_DESCRIPTOR):
        return os.path.basename(name) == last
    return name == os.path.join(os.path.realpath(folder), last)


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


def _others(record: Record, main: Process | None, view: HostView, run_dir: RunDir | None) -> tuple[Process, ...]:
    """Descendants of the main process; and whoever has its command line, and is in its own cgroup or has its socket."""
    table = view.processes.by_pid
    alike = [process for process in table.values() if _is_alike(process, record) and process is not main]
    found = {process.pid for process in alike if _in_own_cgroup(process, record)}
    if main is not None:
        found |= {pid for pid in table if _descends(pid, main.pid, table)}
    sockets = {record.socket, *(one.number for one in _sockets_of(record, view))}
    holding = holders_of(sockets, [process.pid for process in alike if process.pid not in found])
    if holding and run_dir is not None:  # another one may serve at the same path by now
        beside = run_dir.beside(record.name)
        holding = {pid for pid in holding if not any(_is_of(table[pid], other, table) for other in beside)}
    found |= holding
    hidden = [process for process in alike if process.pid not in found and not process.complete]
    if hidden:
        why = f"{describe(hidden[0])} has its command line, and what it is cannot be read"
        raise NotProved("", why, "Run as root.")
    return tuple(table[pid] for pid in sorted(found) if not table[pid].dead)


def _is_alike(process: Process, record: Record) -> bool:
    """Whether it has the recorded command line, also behind that of the shell that becomes the daemon."""
    return not process.dead and process.argv[-len(record.command_line) :] == record.command_line


def _in_own_cgroup(process: Process, record: Record) -> bool:
    names = {record.unit, *map(os.path.basename, record.cgroups)} - {""}
    return any(names & set(path.split("/")) for path in process.cgroups)


def _is_of(process: Process, record: Record, table: dict[int, Process]) -> bool:
    """Whether a process is the main one of a record, a descendant of that one, or in its own cgroup."""
    if record.boot_id != host.boot_id():
        return False
    main = table.get(record.pid)
    if main is not None and (main.start_ticks, main.argv) == (record.start_ticks, record.command_line):
        return process is main or _descends(process.pid, main.pid, table) or _in_own_cgroup(process, record)
    return _in_own_cgroup(process, record)


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
