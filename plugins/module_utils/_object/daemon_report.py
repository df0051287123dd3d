# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every virtiofsd of a host, whoever has started it, and every record of one: whose it is, and whether it lives."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import as_names, check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.open_sockets import numbers_open_by
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, describe
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import Bound
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd import (
    Dialect,
    Seen,
    read_command_line,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_origin import (
    is_virtiofsd,
    product_of,
    sandbox_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import NAMES, SUFFIX, Record
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_programs import ask, may_be_asked
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_records import RunDir
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_standing import Standing, standing_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    LIVE,
    UNKNOWN,
    Evidence,
    judge,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

INFO_OPTIONS: dict[str, dict[str, Any]] = {"name": {"type": "raw"}, "run_dir": {"type": "path"}}
FOREIGN = "foreign"


class Running(NamedTuple):
    """A daemon that was found among the processes. family: it and its children. sockets: those that have names."""

    main: Process
    family: tuple[Process, ...]
    seen: Seen
    sockets: tuple[Bound, ...]

    @property
    def clients(self) -> int:
        return sum(one.connections for one in self.sockets)

    @property
    def socket_path(self) -> str:
        return self.seen.socket_path or next((one.name for one in self.sockets), "")


def report_all(params: dict[str, Any], view: HostView) -> list[dict[str, Any]]:
    """The entries of the selected daemons: those with a record first, then all others. Raises StateError."""
    run_dir = RunDir(params["host_root"], params["run_dir"])
    given = None if params["name"] is None else as_names(params["name"], "name", NAMES)
    names = run_dir.names() if given is None else [check_known_name(name, "name", NAMES) for name in given]
    records = {name: _read(run_dir, name) for name in names}  # files before processes (safety.md B4)
    running = _all_running(view)
    known: set[int] = set()
    entries = [_of_name(name, records[name], run_dir, running, known, view) for name in names]
    if given is None:
        entries += [_of_process(one, view) for one in running if one.main.pid not in known]
    return entries


def _read(run_dir: RunDir, name: str) -> Record | StateError | None:
    try:
        return run_dir.read(name)
    except StateError as error:
        return error


def _all_running(view: HostView) -> list[Running]:
    table = view.processes.by_pid
    found = {pid: one for pid, one in table.items() if not one.dead and _is_daemon(one)}
    mains = [one for one in found.values() if one.ppid not in found or found[one.ppid].argv != one.argv]
    bound = {one.number: one for all_of in view.sockets.by_inode.values() for one in all_of}
    daemons = []
    for main in sorted(mains, key=lambda one: one.pid):
        family = tuple(one for one in found.values() if one is main or one.ppid == main.pid)
        numbers = numbers_open_by(one.pid for one in family)
        sockets = tuple(bound[number] for number in sorted(numbers & bound.keys()))
        daemons.append(Running(main, family, read_command_line(main.argv), sockets))
    return daemons


def _is_daemon(process: Process) -> bool:
    return any(is_virtiofsd(name) for name in (os.path.basename(process.exe or ""), process.program))


def _of_name(
    name: str,
    record: Record | StateError | None,
    run_dir: RunDir,
    running: list[Running],
    known: set[int],
    view: HostView,
) -> dict[str, Any]:
    """A daemon of ours. known: gets the processes that it accounts for."""
    entry = {"name": name, "exists": record is not None, "record": run_dir.directory.join(name + SUFFIX)}
    if record is None:
        return entry
    if isinstance(record, StateError):
        return {**entry, "started_by": "this collection", "verdict": UNKNOWN, "evidence": [str(record)]}
    try:
        standing = standing_of(record, view, run_dir)
    except StateError as error:
        verdict, evidence = UNKNOWN, [str(error)]
        standing = Standing(clients=None)
    else:
        verdict = LIVE if standing.alive else UNKNOWN if standing.doubt else LEFTOVER
        evidence = [*standing.reasons, *filter(None, [standing.doubt])]
    pids = [one.pid for one in standing.processes]
    known.update(pids)
    return {
        **entry,
        **({"pid": pids[0], "pids": pids} if pids else {}),
        "dialect": record.dialect,
        "version": record.version or None,
        "executable": record.command_line[0],
        "shared_dir": str(record.options["shared_dir"]),
        "socket_path": record.socket_path,
        "clients": 0 if verdict == LEFTOVER else standing.clients,
        "sandbox_id": sandbox_of((str(record.options["shared_dir"]), record.socket_path)) or None,
        "started_by": "this collection",
        "unit": record.unit or None,
        "verdict": verdict,
        "evidence": evidence,
    }


def _of_process(one: Running, view: HostView) -> dict[str, Any]:
    """A daemon that somebody else has started."""
    main, seen = one.main, one.seen
    sandbox_id = sandbox_of((seen.shared_dir, one.socket_path))
    product = "" if sandbox_id else product_of(seen, main.cgroups)
    if sandbox_id:
        verdict, reasons = _judged(one, sandbox_id, view)
    else:
        by = f"it belongs to {product}" if product else "it serves no sandbox of Kata's, and no record names it"
        verdict, reasons = FOREIGN, [by]
    dialect = _dialect(main, seen)
    return {
        "name": None,
        "exists": True,
        "pid": main.pid,
        "pids": [process.pid for process in one.family],
        "dialect": dialect.name or None,
        "version": dialect.version or None,
        "executable": main.exe,
        "shared_dir": seen.shared_dir or None,
        "socket_path": one.socket_path or None,
        "clients": one.clients if one.sockets or not view.sockets.unreadable else None,
        "sandbox_id": sandbox_id or None,
        "started_by": "Kata Containers" if sandbox_id else product or None,
        "verdict": verdict,
        "evidence": reasons,
    }


def _judged(one: Running, sandbox_id: str, view: HostView) -> tuple[str, list[str]]:
    """A daemon of Kata's lives for its client, and for whatever else names its sandbox: a shim, a VMM."""
    own = {process.pid for process in one.family}
    named = {mention.process.pid: mention.process for mention in view.processes.carrying(sandbox_id)}
    others = [process for pid, process in sorted(named.items()) if pid not in own]
    owners = [f"{describe(process)} names sandbox {sandbox_id}" for process in others]
    if one.clients:
        owners.insert(0, "a client is connected to it")
    unknown = () if one.sockets else tuple(view.sockets.unreadable[:2])
    verdict = judge(Evidence(tuple(owners), unknown=unknown, dead=("no client is connected to it",), blind=view.blind))
    beside = f"no other process names sandbox {sandbox_id}"
    return verdict.kind, [beside if reason == "no process names it" else reason for reason in verdict.reasons]


def _dialect(process: Process, seen: Seen) -> Dialect:
    """What its executable says, where running that is safe: it is the file of that name, and only root can write it."""
    path = process.exe
    if path is not None and _is_its_file(process.pid, path) and may_be_asked(path):
        found = ask(path)
        if found is not None:
            return found
    return Dialect(seen.dialect)


def _is_its_file(pid: int, path: str) -> bool:
    try:
        running, named = os.stat(f"/proc/{pid}/exe"), os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(named.st_mode) and os.path.samestat(running, named)


def in_words(entries: Sequence[dict[str, Any]]) -> str:
    """The summary: counts by verdict, then the first that are not simply alive, with what decided."""
    there = [entry for entry in entries if entry["exists"]]
    counts = [
        (kind, sum(1 for entry in there if entry["verdict"] == kind)) for kind in (LIVE, LEFTOVER, UNKNOWN, FOREIGN)
    ]
    shown = ", ".join(f"{count} {kind}" for kind, count in counts if count)
    text = f"{len(there)} virtiofsd" + (f": {shown}." if shown else ".")
    if len(entries) > len(there):
        text += f" {len(entries) - len(there)} not there."
    for entry in [entry for entry in there if entry["verdict"] in (LEFTOVER, UNKNOWN)][:5]:
        what = entry["name"] or f"pid {entry['pid']}"
        text += f" {entry['verdict'].capitalize()}: {what} ({'; '.join(entry['evidence'])})."
    return text
