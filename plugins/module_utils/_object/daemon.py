# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtiofsd that the collection starts and stops, as an object: its processes, socket, record and cgroup."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import transient_units
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import remove_file, write_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InUse,
    InvalidInput,
    NotProved,
    StateError,
    Unreadable,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    LockPlace,
    own_lock_is_held,
    own_lock_place,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import masked_arguments
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.open_sockets import holders_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_given,
    remove_empty,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe, read
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.signalling import stop
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import SocketInode, socket_inodes
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import (
    MODE,
    STOPPING_SUFFIX,
    SUFFIX,
    Record,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Remove, Stop
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_records import RunDir
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_standing import Standing, standing_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import (
    DaemonWish,
    Order,
    again,
    difference,
    order_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change

_KILL_SECONDS = 10.0  # from SIGKILL until the kernel has ended it
_UNIT_SECONDS = 10.0
_STOP_FIRST = "Stop its virtual machine first, or set force=true: it loses its file system then. Nothing was changed."
_NOT_VISIBLE = "a process that is not visible here"
_LAST_BREATH = 0.2  # seconds after which a socket that nobody is seen to hold is looked at again


class StartDaemon(NamedTuple):
    """Start a daemon, which the command line and the place of its socket identify."""

    socket_path: str
    command_line: tuple[str, ...]
    role: str = "daemon"
    sign: str = "+"

    @property
    def path(self) -> str:
        return f"{self.socket_path} ({' '.join(masked_arguments(self.command_line))})"


class Daemon(Item):
    """One daemon, by its name."""

    def __init__(self, wish: DaemonWish, run_dir: RunDir) -> None:
        super().__init__()
        self.wish = wish
        self.run_dir = run_dir
        self.label = f"Daemon '{wish.name}'"
        self.record: Record | None = None
        self.standing = Standing()
        self._order: Order | None = None
        self._mounts: list[Any] = []

    def described(self) -> dict[str, Any]:
        record = self.record
        path = self.run_dir.directory.join(self.wish.name + SUFFIX)
        if record is None:
            return {"name": self.wish.name, "paths": [*filter(None, [self.wish.socket_path]), path]}
        known = {"pid": record.pid, "dialect": record.dialect, "version": record.version, "unit": record.unit}
        shown = {key: value for key, value in known.items() if value} if self.standing.alive else {}
        return {"name": self.wish.name, "socket_path": record.socket_path, "paths": [record.socket_path, path], **shown}

    def read(self, view: HostView) -> None:
        self.record = self.run_dir.read(self.wish.name)

    # plans

    def plan(self, view: HostView) -> Plan:
        self.standing = standing_of(self.record, view, self.run_dir) if self.record is not None else Standing()
        if not self.run_dir.is_here and (self.wish.state != "stopped" or self.standing.alive):
            why = f"{self.run_dir.host_root} may be another machine's tree, and the daemon is one of this machine"
            raise InvalidInput("host_root", why, "Leave it out, or give a run_dir outside of it.")
        if self.standing.doubt and not self.wish.force:
            why = f"none of its processes is found, but {self.standing.doubt}"
            raise NotProved("", why, "Run where all are seen, or set force=true only if you know that it is dead.")
        if self.wish.state == "stopped":
            return self._plan_stopped(view)
        order = self._ordered()
        self._mounts = view.mounts.own.mounts
        if self.standing.alive and self.record is not None:
            return self._plan_running(self.record, order, view)
        self._refuse_taken(order, view)
        start = StartDaemon(order.socket_path, order.command_line)
        return Plan("created", (*self._rests(order, view), start))

    def _ordered(self) -> Order:
        """What is to be started, asked and checked once."""
        if self._order is None:
            wish = self.wish
            if wish.share is None and self.record is not None:
                wish = again(self.record.options, wish)
            if wish.share is None:
                why = "there is no record of it, so that it cannot be restarted as it was"
                raise InvalidInput("", why, "Give socket_path and shared_dir.")
            self._order = order_of(wish)
        return self._order

    def _plan_running(self, record: Record, order: Order, view: HostView) -> Plan:
        other = difference(record.options, order.options)
        start = StartDaemon(order.socket_path, order.command_line)
        if self.wish.state == "started":
            if self.standing.main is None:
                if self._is_being_started(view):
                    return Plan("created", (start,))
                raise InUse(
                    "", "; ".join(self.standing.reasons), "Set state=restarted to end all of it and start anew."
                )
            if not other and not self._is_out_of_reach(record):
                return Plan()
            if other and not self.wish.restart:
                why = f"it runs with other options: {other}"
                way = "Set on_change=restart to restart it; its virtual machine loses its file system then."
                raise AlreadyExists("", why, f"{way} Nothing was changed.")
        self._refuse_taken(order, view)
        return Plan("updated", (*self._stops(), *self._rests(order, view), start))

    def _is_out_of_reach(self, record: Record) -> bool:
        """Whether its socket file is gone, and no client has come before that: it serves only one."""
        if self._is_its_own(_inodes_of(record.socket_path)) or self.standing.clients:
            return False
        if self.standing.clients is None:
            why = f"its socket file {record.socket_path} is gone, and whether a client is connected cannot be told"
            raise NotProved("", why, "Run as root, or set state=restarted. Nothing was changed.")
        return True

    def _plan_stopped(self, view: HostView) -> Plan:
        if self.record is None:
            return Plan()
        if self.standing.alive and not self.wish.force:
            if self.standing.clients is None:
                why = "whether a client is connected cannot be told"
                raise NotProved("", why, "Run as root, or set force=true. Nothing was changed.")
            if self.standing.clients:
                raise InUse("", f"a client is connected: {'; '.join(self.standing.reasons)}", _STOP_FIRST)
        return Plan("deleted", (*self._stops(), *self._rests(None, view)))

    def _stops(self) -> list[Stop]:
        return [Stop(one.pid, one.start_ticks, describe(one)) for one in self.standing.processes]

    def _rests(self, order: Order | None, view: HostView) -> list[Change]:
        """What is left when its processes are gone: its socket, and its record, unless a new one takes its place.

        A socket file that was replaced is somebody else's. Where one is to be made, what is there is stale: nobody has
        it (_refuse_taken).
        """
        record = self.record
        found: list[Change] = []
        places: dict[str, frozenset[SocketInode]] = {}
        if record is not None and self.run_dir.is_here:
            places[record.socket_path] = frozenset(record.socket_file)
        if order is not None:
            places[order.socket_path] = frozenset()
        for path, known in places.items():
            facts = _facts_of(path)
            # Numbers of files are used again: the one that is known may be a stranger's by now.
            if facts is not None and (not known or (known & _inodes_of(path) and not self._strangers(path, view))):
                with open_given(os.path.dirname(path)) as directory:
                    found.append(Remove("socket", directory, os.path.basename(path), facts.identity))
        if record is not None and order is None:
            name = self.wish.name + SUFFIX
            facts = look(self.run_dir.directory, name)
            found.append(Remove("record", self.run_dir.directory, name, facts.identity if facts else None))
        return found

    def _is_its_own(self, inodes: Collection[SocketInode]) -> bool:
        """Whether a socket file is that of the recorded daemon, which lives."""
        return self.record is not None and self.standing.alive and not set(self.record.socket_file).isdisjoint(inodes)

    def _strangers(self, path: str, view: HostView) -> list[int]:
        """The kernel numbers of sockets that belong to the file at path, and are not the recorded daemon's."""
        inodes = _inodes_of(path)
        bound = view.sockets.at(inodes)
        if self.record is not None and self._is_its_own(inodes):
            bound = [one for one in bound if one.listening and one.number != self.record.socket]
        return [one.number for one in bound]

    def _listener(self, path: str, view: HostView) -> str:
        """Who else than the recorded daemon listens at a path, in words; empty where nobody does."""
        strangers = self._strangers(path, view)
        if not strangers:
            return ""
        table = view.processes.by_pid
        return ", ".join(describe(table[pid]) for pid in sorted(holders_of(strangers, table))[:3]) or _NOT_VISIBLE

    def _refuse_taken(self, order: Order, view: HostView) -> None:
        """Found out without connecting (safety.md B1, B2): one connection would end the daemon that listens there."""
        path = order.socket_path
        facts = _facts_of(path)
        if facts is None:
            return
        if not stat.S_ISSOCK(facts.mode):
            raise InvalidInput("socket_path", f"{path} is there, and is no socket", "Give another path, or remove it.")
        listener = self._listener(path, view)
        if listener == _NOT_VISIBLE:
            # A process that was killed just now lets go of its descriptors first, and of its socket after them.
            time.sleep(_LAST_BREATH)
            view = view.again()
            listener = self._listener(path, view)
        if listener and not self._is_being_started(view):
            raise InUse("", f"{listener} listens on {path}", "Stop it first.")
        # What the record knows as its own is proved by its processes.
        inodes = _inodes_of(path)
        is_recorded = self.record is not None and not inodes.isdisjoint(self.record.socket_file)
        unseen = [*view.sockets.unreadable[:2], *([view.blind] if view.blind and not is_recorded else [])]
        if unseen and not self._is_its_own(inodes):
            why = f"it cannot be told whether somebody listens on {path}: {'; '.join(unseen)}"
            raise NotProved("", why, "Run as root in the host's own namespaces. Nothing was changed.")

    def _is_being_started(self, view: HostView) -> bool:
        """Whether another task of ours has this daemon in hand, or just had it: the plan that counts comes after it."""
        if self.locks:
            return False
        if own_lock_is_held(self._locked) or self.run_dir.read(self.wish.name) != self.record:
            return True
        # It had not become the daemon yet when the processes were looked at.
        return self.record is not None and standing_of(self.record, view.again(), self.run_dir).main is not None

    # locks and changes

    @property
    def _locked(self) -> str:
        return self.run_dir.directory.join(self.wish.name)

    def lock_places(self) -> list[LockPlace]:
        if self.wish.state != "stopped":
            self.run_dir.create()
        return [own_lock_place(self._locked)._replace(is_common=False)]

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        """End all of its processes, the main one first, which the others follow by themselves."""
        stops = [change for change in plan.changes if isinstance(change, Stop)]
        if not stops or self.record is None:
            return
        self._say_that_it_is_wanted(self.record)
        try:
            self._end(self.record, new_view)
        except BaseException:
            remove_file(self.run_dir.directory, self.wish.name + STOPPING_SUFFIX)  # it may live, and end unasked later
            raise

    def _end(self, record: Record, new_view: Callable[[], HostView]) -> None:
        for process in self.standing.processes:
            timeout = self.wish.stop_timeout + _KILL_SECONDS
            self.acted = stop(process, timeout, kill_after=self.wish.stop_timeout) or self.acted
        self._wait_for_its_unit(record)
        left = standing_of(record, new_view(), self.run_dir)
        if left.alive:
            raise InUse("", "; ".join(left.reasons), "Run again.")

    def _say_that_it_is_wanted(self, record: Record) -> None:
        """The command of on_quit is for an end that nobody asked for."""
        if record.unit and record.options["on_quit"]:
            write_file(self.run_dir.directory, self.wish.name + STOPPING_SUFFIX, b"", MODE, durable=False)

    def _wait_for_its_unit(self, record: Record) -> None:
        if not record.unit or not transient_units.is_booted():
            return
        deadline = time.monotonic() + _UNIT_SECONDS
        while transient_units.is_active(record.unit):
            if time.monotonic() > deadline:
                why = f"{record.unit} has not ended {_UNIT_SECONDS:g} s after its processes"
                raise StateError("", why, f"Look at it with systemctl status {record.unit}.")
            time.sleep(0.05)
        transient_units.forget_failure(record.unit)

    def guarded(self, plan: Plan) -> set[Inode]:
        return set()

    def apply(self, plan: Plan, durable: bool) -> None:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_start import (
            Ground,
            remove_cgroups,
            start,
        )

        if self.record is not None and self.run_dir.is_here:
            remove_cgroups(self.record.cgroups)
        for change in plan.changes:
            if isinstance(change, Remove) and change.make():
                self._did(change.directory)
        if self.run_dir.directory.exists:
            remove_file(self.run_dir.directory, self.wish.name + STOPPING_SUFFIX)
        if any(isinstance(change, StartDaemon) for change in plan.changes):
            if self.record is not None:
                self._wait_for_its_unit(self.record)  # its command of on_quit may be at work
            ground = Ground(self.run_dir.directory, self._mounts, durable)
            self.record = start(self._ordered(), ground)
            self.standing = Standing(read(self.record.pid))
            self._did(self.run_dir.directory)

    def _did(self, directory: Directory) -> None:
        self.acted = True
        self.touched.add(directory)

    def tidy(self) -> None:
        """Nothing is made by locking."""

    def finish(self) -> None:
        if not self.acted:
            remove_empty(self.run_dir.directory.made)


def _facts_of(path: str) -> FileFacts | None:
    """lstat of a path whose directory may not be there. Raises Unreadable."""
    with open_given(os.path.dirname(path)) as directory:
        return look(directory, os.path.basename(path)) if directory.exists else None


def _inodes_of(path: str) -> set[SocketInode]:
    """The numbers of the socket file at path; empty where there is none (any more). Raises Unreadable."""
    try:
        return socket_inodes(path)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise Unreadable(path, os_reason(error), way_out(error, "Nothing was changed.")) from error
