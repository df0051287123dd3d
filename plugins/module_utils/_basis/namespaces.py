# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mounts of every mount namespace of the host (safety.md D3).

rmdir of a directory that is a mount point only in another namespace succeeds and detaches it there, so a delete needs
this proof. Only /proc is read; no mounted file system is touched.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import (
    Mount,
    MountTable,
    key_range,
    parse_mountinfo,
    read_mounts,
    sort_key,
)

_LINK = re.compile(r"mnt:\[(\d+)\]")
_ROUNDS = 4
_GONE = (errno.ENOENT, errno.ESRCH)


class Unseen(NamedTuple):
    """A namespace whose mounts could not be read: unknown. pid: a process in it, or None if only a mount holds it."""

    pid: int | None
    reason: str


class InTheWay(NamedTuple):
    """A mount at or below a path. pid: a process of its namespace, None if it is ours.

    path: the mount point as ours sees it.
    """

    mount: Mount
    pid: int | None
    path: str
    text: str


class _Found(NamedTuple):
    """One namespace as /proc shows it. whole: this pid's root is the namespace's, so its mountinfo shows all mounts."""

    pid: int | None
    opens: str
    whole: bool


class MountSurvey:
    """All mount namespaces that have a process or are held by a mount that we see, at one moment.

    own: our namespace. others: (pid or None, table) of each other one. unreadable: what could not be read; not empty
    means that a proof of "nothing is mounted" is not to be had.
    """

    def __init__(
        self,
        own: MountTable,
        others: list[tuple[int | None, MountTable]],
        unreadable: list[Unseen],
        proc: str = "/proc",
    ) -> None:
        self.own = own
        self.others = others
        self.unreadable = unreadable
        self._proc = proc
        self._index: dict[tuple[int, int], tuple[list[str], list[tuple[int | None, Mount]]]] = {}
        self._by_root: dict[tuple[tuple[int, int], str], list[int]] | None = None

    @classmethod
    def read(cls, proc: str = "/proc") -> MountSurvey:
        """Read one representative of each namespace.

        Unreadable: our own table or the list of processes cannot be read.
        """
        reader = _Reader(proc)
        pending: set[int] = set()
        for _round in range(_ROUNDS):
            # Where the representative has ended, the namespace may live on with another process; so look again.
            pending = reader.read_new()
            if not pending:
                break
        reader.unreadable.extend(Unseen(None, f"mnt:[{inode}] changes all the time") for inode in sorted(pending))
        return cls(reader.own, reader.others, reader.unreadable, proc)

    def in_the_way(self, path: str) -> list[InTheWay]:
        """All mounts, in ours and in other namespaces, whose mount point is path or lies below it.

        path: absolute, normalised, its symbolic links resolved. An empty list proves nothing while `unreadable` is not
        empty.
        """
        result = [InTheWay(mount, None, mount.point, self.own.describe(mount)) for mount in self.own.at_or_below(path)]
        told: set[tuple[int | None, int]] = {(None, item.mount.mount_id) for item in result}
        for pid, mount, place in self._located(path):
            # Mount ids are unique on the host, so a mount of ours is recognised by its id alone.
            if (pid, mount.mount_id) not in told:
                told.add((pid, mount.mount_id))
                result.append(InTheWay(mount, pid, place, self._describe(pid, mount)))
        return result

    def told(self, items: Iterable[InTheWay]) -> list[str]:
        """These mounts and all that is mounted in them, in words. What lies in a mount of another namespace is no
        place that in_the_way can know, and no less in use for that."""
        tables: list[tuple[int | None, MountTable]] = [(None, self.own), *self.others]
        found: dict[int, str] = {}
        for item in items:
            for pid, table in tables:
                if item.mount.mount_id in table.by_id:
                    below = table.at_or_below(item.mount.point)
                    found.update((mount.mount_id, self._describe(pid, mount)) for mount in below)
        return list(found.values())

    def is_free(self, path: str) -> bool:
        """Whether in_the_way(path) is empty, and with that in_the_way of all that lies below it."""
        return not self.own.at_or_below(path) and not self._located(path)

    def rooted_at(self, path: str) -> list[int]:
        """A process of each other mount namespace whose root is the directory at path: a container runs in there.

        path: as for in_the_way. A root file system is told by its device and the directory of it that is mounted.
        """
        roots = self._roots()
        holder = self.own.holding(path) if roots else None
        inside = self.own.inside(holder, path) if holder is not None else None
        return list(roots.get((holder.device, inside), ())) if holder is not None and inside is not None else []

    def _roots(self) -> dict[tuple[tuple[int, int], str], list[int]]:
        """Processes by the root file systems of their namespaces. The host's own one is everybody's."""
        if self._by_root is None:
            self._by_root = {}
            top = self.own.holding("/")
            for pid, table in self.others:
                root = table.holding("/")
                shared = root is not None and top is not None and (root.device, root.root) == (top.device, top.root)
                if pid is not None and root is not None and not shared:
                    self._by_root.setdefault((root.device, root.root), []).append(pid)
        return self._by_root

    def _located(self, path: str) -> list[tuple[int | None, Mount, str]]:
        holder = self.own.holding_name(path)
        inside = self.own.inside(holder, path) if holder else None
        if holder is None or inside is None:
            return []
        keys, entries = self._on_device(holder.device)
        first, last = key_range(keys, inside)
        base = sort_key(path)
        return [
            (pid, mount, (base + key[len(sort_key(inside)) :]).rstrip("/") or "/")
            for key, (pid, mount) in zip(keys[first:last], entries[first:last])
        ]

    def _on_device(self, device: tuple[int, int]) -> tuple[list[str], list[tuple[int | None, Mount]]]:
        """The mount points that lie on one file system, sorted, of all namespaces."""
        if device not in self._index:
            rows: list[tuple[str, int, int | None, Mount]] = []
            tables: list[tuple[int | None, MountTable]] = [(None, self.own), *self.others]
            for pid, table in tables:
                by_id = table.by_id
                for mount in table.mounts:
                    parent = by_id.get(mount.parent_id)
                    if parent is not None and parent.device == device:
                        place = table.location(mount)
                        if place is not None:
                            rows.append((sort_key(place[1]), mount.mount_id, pid, mount))
            rows.sort(key=lambda row: row[:2])
            self._index[device] = ([row[0] for row in rows], [(row[2], row[3]) for row in rows])
        return self._index[device]

    def _describe(self, pid: int | None, mount: Mount) -> str:
        for other, table in self.others:
            if other == pid and mount.mount_id in table.by_id:
                where = "a mount namespace without processes" if pid is None else f"the mount namespace of pid {pid}"
                name = "" if pid is None else _command_name(self._proc, pid)
                return f"{table.describe(mount)} in {where}" + (f" ({name})" if name else "")
        return self.own.describe(mount)


def in_initial_mount_namespace(proc: str = "/proc") -> bool | None:
    """Whether this process is in the mount namespace of pid 1 (safety.md D3). None: it cannot be told."""
    try:
        return _namespace_of(f"{proc}/self") == _namespace_of(f"{proc}/1")
    except OSError:
        pass
    # Reading the link needs as many capabilities as pid 1 has; mountinfo does not. Mount ids are unique on the host.
    try:
        own, first = read_mounts(f"{proc}/self/mountinfo"), read_mounts(f"{proc}/1/mountinfo")
    except (OSError, ValueError):
        return None
    if not own or not first:
        return None
    return not {mount.mount_id for mount in own}.isdisjoint(mount.mount_id for mount in first)


def _namespace_of(process: str) -> int:
    match = _LINK.fullmatch(os.readlink(f"{process}/ns/mnt"))
    if match is None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), f"{process}/ns/mnt")
    return int(match.group(1))


class _Reader:
    """Collects the tables of a survey."""

    def __init__(self, proc: str) -> None:
        self.proc = proc
        self.own = MountTable.read("self", proc)
        try:
            self.done = {_namespace_of(f"{proc}/self")}
        except OSError as error:
            raise Unreadable(f"{proc}/self/ns/mnt", os_reason(error)) from error
        self.others: list[tuple[int | None, MountTable]] = []
        self.unreadable: list[Unseen] = []
        self._hidden: set[int | None] = set()

    def read_new(self) -> set[int]:
        """Read the namespaces that are not read yet; returns those that went away under our hands."""
        seen, hidden = _list_namespaces(self.proc)
        partial: dict[int, _Found] = {}
        for inode, found in seen.items():
            if inode in self.done:
                continue
            try:
                mounts = read_mounts(f"{self.proc}/{found.pid}/mountinfo") if found.whole else []
            except (OSError, ValueError):
                mounts = []
            if mounts:
                self._add(inode, found.pid, mounts)
            else:
                partial[inode] = found
        for table in [self.own] + [table for _pid, table in self.others]:
            self._find_pinned(table, set(seen), partial)
        self._read_by_entering(partial)
        self._add_hidden(hidden)
        return set(partial) - self.done

    def _add(self, inode: int, pid: int | None, mounts: list[Mount]) -> None:
        self.done.add(inode)
        self.others.append((pid, MountTable(mounts)))

    def _find_pinned(self, table: MountTable, seen: set[int], partial: dict[int, _Found]) -> None:
        """Namespaces without a process, held by a mount of their file in /proc."""
        for mount in table.mounts:
            match = _LINK.fullmatch(mount.root) if mount.fs_type == "nsfs" else None
            if match is None or int(match.group(1)) in seen | self.done:
                continue
            if table is self.own:
                partial.setdefault(int(match.group(1)), _Found(None, mount.point, False))
            else:
                self.done.add(int(match.group(1)))
                self.unreadable.append(
                    Unseen(None, f"{mount.root} is held by {mount.point} in another mount namespace")
                )

    def _read_by_entering(self, wanted: dict[int, _Found]) -> None:
        """Namespaces whose processes see only a part: a child enters each of them and reads its own mountinfo."""
        answers = _ask_child(self.proc, wanted) if wanted else {}
        for inode, found in wanted.items():
            head, _newline, text = answers.get(inode, "no answer\n").partition("\n")
            try:
                if head == "ok":
                    self._add(inode, found.pid, parse_mountinfo(text))
                    continue
            except ValueError as error:
                head = str(error)
            if head != "gone":
                self.done.add(inode)
                self.unreadable.append(Unseen(found.pid, head))

    def _add_hidden(self, hidden: list[Unseen]) -> None:
        """Processes whose namespace link is hidden from us.

        Their mountinfo is not: a mount id tells a namespace we know.
        """
        for item in hidden:
            if item.pid in self._hidden:
                continue
            try:
                mounts = read_mounts(f"{self.proc}/{item.pid}/mountinfo")
            except (OSError, ValueError) as error:
                if not isinstance(error, OSError) or error.errno not in (*_GONE, errno.EINVAL):
                    self._hidden.add(item.pid)
                    self.unreadable.append(item)
                continue
            self._hidden.add(item.pid)
            tables = [self.own] + [table for _pid, table in self.others]
            if not mounts or not any(mounts[0].mount_id in table.by_id for table in tables):
                # What it shows counts, but it may be a part only: its root is hidden from us too.
                self.unreadable.append(item)
                self.others.append((item.pid, MountTable(mounts)))


def _list_namespaces(proc: str) -> tuple[dict[int, _Found], list[Unseen]]:
    """One process for each namespace, preferably one that sees all of it, and the processes that hide theirs."""
    seen: dict[int, _Found] = {}
    hidden: list[Unseen] = []
    try:
        pids = [int(name) for name in os.listdir(proc) if name.isdecimal()]
    except OSError as error:
        raise Unreadable(proc, os_reason(error)) from error
    for pid in pids:
        try:
            inode, base = _any_thread_namespace(f"{proc}/{pid}")
        except OSError as error:
            if error.errno not in _GONE:
                hidden.append(Unseen(pid, os_reason(error)))
            continue
        if inode not in seen or not seen[inode].whole:
            # mountinfo shows only what lies below the process's root.
            seen[inode] = _Found(pid, f"{base}/ns/mnt", _root_of(base) == "/" and base == f"{proc}/{pid}")
    return seen, hidden


def _any_thread_namespace(process: str) -> tuple[int, str]:
    """The namespace, and the /proc directory that shows it.

    Another thread's if the first one has ended (safety.md A9).
    """
    try:
        return _namespace_of(process), process
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    for thread in os.listdir(f"{process}/task"):
        try:
            return _namespace_of(f"{process}/task/{thread}"), f"{process}/task/{thread}"
        except OSError as error:
            if error.errno not in _GONE:
                raise
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), process)


def _root_of(process: str) -> str:
    try:
        return os.readlink(f"{process}/root")
    except OSError:
        return ""


def _ask_child(proc: str, wanted: dict[int, _Found]) -> dict[int, str]:
    """For each inode what _enter_each wrote: "ok" or else the reason, a newline, and the mountinfo."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            _enter_each(proc, wanted, send)
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        document = os.fsdecode(stream.read())
    os.waitpid(child, 0)
    parts = (part.partition("\n") for part in document.split("\0") if part)
    return {int(inode): answer for inode, _newline, answer in parts}


def _enter_each(proc: str, wanted: dict[int, _Found], send: int) -> None:
    """Write "inode, newline, ok, newline, mountinfo, NUL" for each; instead of ok "gone" or the system's words."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)  # what we saw before we entered another namespace
    for inode, found in wanted.items():
        answer = b"gone\n"
        try:
            opened = os.open(found.opens.lstrip("/"), os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
            try:
                if os.fstat(opened).st_ino == inode:
                    syscalls.setns(opened, syscalls.CLONE_NEWNS)
                    info = os.open(f"{proc}/self/mountinfo".lstrip("/"), os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
                    with os.fdopen(info, "rb") as stream:
                        answer = b"ok\n" + stream.read()
            finally:
                os.close(opened)
        except OSError as error:
            if error.errno not in _GONE:
                answer = os.fsencode(os_reason(error)) + b"\n"
        view = memoryview(b"%d\n%s\0" % (inode, answer))
        while view:
            view = view[os.write(send, view) :]


def _command_name(proc: str, pid: int) -> str:
    try:
        with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().rstrip("\n")
    except OSError:
        return ""
