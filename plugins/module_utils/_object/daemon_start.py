# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a daemon: socket, process, record, and the wait until it serves. What fails takes all of it back.

The pid is on record before the program begins (V5), so that no crash of this task leaves a daemon that nobody knows.
The record stays as well where a process cannot be ended (safety.md E3).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import (
    cgroup_directories,
    cgroup_population,
    host,
    processes,
    transient_units,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import remove_file, write_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.listening import kernel_number, listen_at
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.open_sockets import (
    numbers_open_by,
    waits_on_socket,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.signalling import stop
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import listeners, socket_inodes
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.spawning import spawn
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import (
    Hierarchy,
    hierarchies,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import (
    MODE,
    STOPPING_SUFFIX,
    SUFFIX,
    Record,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_standing import standing_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import Order
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    import socket

    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import Mount

_SERVING_SECONDS, _LOOK_SECONDS = 30.0, 0.02
_QUIET_SECONDS = 1.0  # of life, where the kernel does not tell what a process waits for
_READY = b"Waiting for vhost-user socket connection"
_LAST_LINES, _LAST_BYTES = 5, 4096
_LOG_MODE = 0o600
_CGROUPS = "/sandboxed.containers"
_KEPT = "Its record was kept: set state=stopped to end it."


class Ground(NamedTuple):
    """Where a daemon is started. run_dir: the open directory of the records. mounts: of this mount namespace."""

    run_dir: Directory
    mounts: list[Mount]
    durable: bool


class _Output(NamedTuple):
    """Where a daemon writes. begin: how much was there before."""

    descriptor: int
    begin: int

    def last_lines(self) -> str:
        size = os.fstat(self.descriptor).st_size
        begin = max(self.begin, size - _LAST_BYTES)
        text = self._read(size - begin, begin).decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-_LAST_LINES:])

    def says(self, text: bytes) -> bool:
        return text in self._read(1 << 16, self.begin)

    def _read(self, size: int, begin: int) -> bytes:
        try:
            return os.pread(self.descriptor, size, begin)
        except OSError:  # what was written to a pipe, or a terminal, cannot be read again
            return b""


class _Undo:
    """Takes a start back, the last step first. Where one fails, what was made before it is kept."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def callback(self, step: Callable[..., object], *given: Any) -> None:
        self._steps.append(functools.partial(step, *given))

    def take_back(self, cause: BaseException) -> None:
        """Raises StateError with both reasons where not all of it could be taken back."""
        try:
            while self._steps:
                self._steps.pop()()
        except StateError as error:
            if isinstance(cause, StateError):
                first, then = (f"{one.where}: {one.why}" if one.where else one.why for one in (cause, error))
                kept = StateError("", f"{first}; and it could not be taken back: {then}", _KEPT)
                kept.changed = True
                raise kept from error


def leaf_of(name: str, run_dir: str) -> str:
    """The name of a daemon's unit or cgroup; daemons of the same name in two run_dirs have two."""
    return f"sandboxed-virtiofsd-{name}-{hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:8]}"


def start(order: Order, ground: Ground) -> Record:
    """Start the daemon; returns when it serves. Raises StateError; then nothing of it is left, or its record is, where
    it could not be ended."""
    undo = _Undo()
    with open_given(os.path.dirname(order.socket_path)) as folder:
        try:
            return _start(order, ground, folder, undo)
        except BaseException as cause:
            undo.take_back(cause)
            raise


def _start(order: Order, ground: Ground, folder: Directory, undo: _Undo) -> Record:
    name = os.path.basename(order.socket_path)
    listener = listen_at(folder, name)
    undo.callback(remove_file, folder, name)
    with listener, contextlib.closing(_Descriptor(_open_output(order.log_file))) as log:
        output = _Output(log.number, os.fstat(log.number).st_size)
        record = _new_record(order, listener)
        way = _as_unit if transient_units.is_booted() else _as_child
        return way(order, ground, record, listener.fileno(), output, undo)


class _Descriptor:
    """A descriptor that is closed at the end of a with statement."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        os.close(self.number)


def _open_output(log_file: str) -> int:
    """The log file; without one a file in memory, which holds what a daemon says before it writes to syslog."""
    if not log_file:
        return os.memfd_create("output")
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(log_file, flags, _LOG_MODE)
    except OSError as error:
        raise WriteFailed(
            log_file, f"it cannot be opened: {os_reason(error)}", way_out(error, "Nothing was started.")
        ) from error


def _new_record(order: Order, listener: socket.socket) -> Record:
    return Record(
        name=order.name,
        machine_id=host.machine_id() or "",
        boot_id=host.boot_id(),
        pid_namespace=host.pid_namespace(),
        pid=0,
        start_ticks=0,
        command_line=order.command_line,
        dialect=order.dialect.name,
        version=order.dialect.version,
        socket_path=order.socket_path,
        socket=kernel_number(listener),
        socket_file=tuple(sorted(socket_inodes(order.socket_path))),
        log_file=order.log_file,
        unit="",
        cgroups=(),
        options=order.options,
        address=listener.getsockname(),
    )


def _write(record: Record, ground: Ground) -> None:
    write_file(ground.run_dir, record.name + SUFFIX, record.to_json(), MODE, ground.durable)


# -- a child, where no systemd runs


def _as_child(order: Order, ground: Ground, record: Record, listener: int, output: _Output, undo: _Undo) -> Record:
    network = os.open(order.network_namespace, os.O_RDONLY | os.O_CLOEXEC) if order.network_namespace else None
    try:
        child = spawn(order.command_line, [listener], output.descriptor, network)
    except OSError as error:
        raise StateError("", f"no process could be started: {os_reason(error)}") from error
    finally:
        if network is not None:
            os.close(network)
    try:
        process = processes.read(child.pid)
        cgroups = _own_cgroups(child.pid, leaf_of(order.name, ground.run_dir.path), ground.mounts)
        undo.callback(remove_cgroups, cgroups)
        started = process.start_ticks if process is not None else 0
        record = record._replace(pid=child.pid, start_ticks=started, cgroups=cgroups)
        _write(record, ground)
    except BaseException:
        child.abandon()
        raise
    undo.callback(remove_file, ground.run_dir, record.name + SUFFIX)
    child.release()
    undo.callback(_end, record)
    _wait_until_serving(record, child.ended, output)
    return record


def _own_cgroups(pid: int, leaf: str, mounts: list[Mount]) -> tuple[str, ...]:
    """Move a process to a cgroup of its own in each hierarchy by which a session or a container is ended as a whole.

    Where that is not possible it stays in the one of this task.
    """
    moved: list[str] = []
    for hierarchy in filter(_ends_sessions, hierarchies(mounts)):
        path = f"{hierarchy.mount.rstrip('/')}{_CGROUPS}/{leaf}"
        made: list[str] = []
        try:
            made = cgroup_directories.make(path)
            with open(f"{path}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))
        except (OSError, WriteFailed):
            cgroup_directories.take_back(made)
            continue
        moved.append(path)
    return tuple(moved)


def _ends_sessions(hierarchy: Hierarchy) -> bool:
    return hierarchy.unified or any(one.startswith("name=") for one in hierarchy.controllers)


def remove_cgroups(paths: tuple[str, ...]) -> None:
    """Remove the cgroups of a daemon that has ended, and the one above them when it was the last."""
    for path in paths:
        if not cgroup_population.is_populated(path):
            cgroup_directories.remove(path)
            cgroup_directories.take_back([os.path.dirname(path)])


# -- a transient unit of systemd


def _as_unit(order: Order, ground: Ground, record: Record, listener: int, output: _Output, undo: _Undo) -> Record:
    unit = transient_units.Unit(
        leaf_of(order.name, ground.run_dir.path) + ".service",
        f"virtiofsd {order.name}: {order.options['shared_dir']}",
        order.on_quit,
        ground.run_dir.join(order.name + STOPPING_SUFFIX),
        order.network_namespace,
    )
    transient_units.forget_failure(unit.name)
    record = record._replace(unit=unit.name)
    # Before there is a pid: by the unit's name its processes are known, should this task end here.
    _write(record, ground)
    undo.callback(remove_file, ground.run_dir, record.name + SUFFIX)
    running = transient_units.start(unit, order.command_line, listener, output.descriptor)
    undo.callback(_end_unit, running, ground, order, record)
    record = _with_pid(record, running, output)
    _write(record, ground)
    _wait_until_serving(record, running.ended, output)
    running.let_go()
    return record


def _with_pid(record: Record, running: transient_units.Running, output: _Output) -> Record:
    """The record with the unit's process, when it has become the daemon."""
    deadline = time.monotonic() + _SERVING_SECONDS
    while time.monotonic() < deadline:
        how = running.ended()
        if how:
            raise _ended_early(record, how, output)
        process = processes.read(running.main_pid())
        if process is not None and process.argv == record.command_line:
            return record._replace(pid=process.pid, start_ticks=process.start_ticks)
        time.sleep(_LOOK_SECONDS)
    raise StateError("", f"its unit {record.unit} did not start within {_SERVING_SECONDS:g} s")


def _end_unit(running: transient_units.Running, ground: Ground, order: Order, record: Record) -> None:
    """End it without the command of on_quit, which is for an end that nobody asked for."""
    mark = order.name + STOPPING_SUFFIX
    try:
        if order.on_quit:
            with contextlib.suppress(WriteFailed):  # a command too many is better than a daemon that nobody knows
                write_file(ground.run_dir, mark, b"", MODE, durable=False)
        transient_units.stop(running.unit.name)
    finally:
        running.let_go()
        remove_file(ground.run_dir, mark)
    _end_rest(record)


# -- until it serves


def _wait_until_serving(record: Record, ended: Callable[[], str], output: _Output) -> None:
    """Return when a thread of the daemon waits for a client, or has one; a listening socket alone says nothing, it was
    ours."""
    began = time.monotonic()
    while time.monotonic() < began + _SERVING_SECONDS:
        how = ended()
        if how:
            raise _ended_early(record, how, output)
        family = _family(record.pid)
        waits = waits_on_socket(family, record.socket)
        lived = time.monotonic() - began
        if waits or _has_client(family, record) or (waits is None and (output.says(_READY) or lived > _QUIET_SECONDS)):
            return
        time.sleep(_LOOK_SECONDS)
    said = output.last_lines()
    why = f"it did not serve within {_SERVING_SECONDS:g} s" + (f"; it said: {said}" if said else "")
    raise StateError("", why, "It was ended, and nothing of it was kept.")


def _has_client(family: list[int], record: Record) -> bool:
    """Whether one of these has accepted a connection: with a client that came before it, a daemon never waits."""
    numbers = numbers_open_by(family) - {record.socket}
    if not numbers:  # all network namespaces are asked, which takes its time
        return False
    try:
        bound = listeners().at(record.socket_file)
    except OSError:
        return False
    return any(one.number in numbers and not one.listening for one in bound)


def _ended_early(record: Record, how: str, output: _Output) -> StateError:
    said = output.last_lines() or f"it said nothing{'' if record.log_file else ' but to syslog'}"
    program = record.command_line[0]
    return StateError("", f"{program} ended {how} before it served: {said.rstrip('.')}", "Nothing of it was kept.")


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    table = processes.ProcessTable.scan().by_pid
    found = [pid]
    for one in sorted(table.values(), key=lambda process: process.start_ticks):
        if one.ppid in found and one.pid not in found:
            found.append(one.pid)
    return found


def _end(record: Record) -> None:
    """End the daemon and its children, some of which may not follow it."""
    main = processes.read(record.pid)
    if main is not None and main.start_ticks == record.start_ticks:
        for process in [main, *filter(None, map(processes.read, _family(record.pid)[1:]))]:
            stop(process, _SERVING_SECONDS, kill_after=1.0)
    _end_rest(record)


def _end_rest(record: Record) -> None:
    """End whoever is still one of its processes. Raises StateError where one lives on, or that cannot be told."""
    for process in standing_of(record, HostView()).processes:
        stop(process, _SERVING_SECONDS, kill_after=1.0)
