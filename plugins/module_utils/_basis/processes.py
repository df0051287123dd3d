# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of this host: who runs, since when, and which of them name an id.

Known limits: a thread that left its process's cwd, root or descriptor table is not looked at here, and reading the
command line waits while the kernel changes that process's address space.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.process_tokens import (
    argument_tokens,
    cgroup_tokens,
)

_GONE = (errno.ENOENT, errno.ESRCH)
_DELETED = " (deleted)"
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of /proc/PID/stat
_ARGUMENTS_MAX = 4 << 20  # the kernel's own limit for arguments is lower unless the stack limit was raised
_AGAIN = 4
_MOST_LEAVING, _LEAVING_SECONDS = 64, 2.0
_LISTINGS = 16  # from the second on they are short: only what is new is read
_TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One process at the moment of the look.

    state: the letter of /proc/PID/stat, "?" when unreadable. start_ticks: clock ticks since boot. program: last
    component of argv[0], else the kernel's name of it. exe, cwd, root: None when unreadable, for kernel threads and
    after death; " (deleted)" is stripped (safety.md A9). uid: the effective one. complete: False when something
    could not be read although the process lives, so that silence about it proves nothing (safety.md A1).
    dead: a zombie whose last thread has ended (safety.md A9); a stopped process is alive (safety.md A1).
    """

    pid: int
    ppid: int
    state: str
    start_ticks: int
    program: str
    exe: str | None
    argv: tuple[str, ...]
    cwd: str | None
    root: str | None
    cgroups: tuple[str, ...]
    uid: int
    complete: bool
    dead: bool


class Mention(NamedTuple):
    """A place where a process names an id: where is argument, cwd, root or cgroup, text the whole of it, unmasked."""

    process: Process
    where: str
    text: str


class ProcessTable:
    """All processes of one look at /proc. carrying() leaves out the pids in ignored."""

    def __init__(self, processes: Collection[Process], ignored: Collection[int] = ()) -> None:
        self.by_pid = {process.pid: process for process in processes}
        self.ignored = frozenset(ignored)
        self._index: dict[str, list[Mention]] | None = None

    @classmethod
    def scan(cls, proc: str = "/proc", ignore: Collection[int] | None = None) -> ProcessTable:
        """One look at all processes. ignore: pids whose mentions do not count, by default own_line().

        Raises OSError when proc itself cannot be listed.
        """
        found: dict[int, Process] = {}
        seen: set[str] = set()
        # Listing again catches the child of a process that ended between the listing and its turn: a daemon that
        # forks into the background would otherwise be missed with both its pids (safety.md B4).
        for _listing in range(_LISTINGS):
            fresh = [name for name in pids(proc) if name not in seen]
            if not fresh:
                break
            seen.update(fresh)
            for name in fresh:
                process = read(int(name), proc)
                if process is not None:
                    found[process.pid] = process
        deadline = time.monotonic() + _LEAVING_SECONDS
        for again in count():
            # A few were met on their way in or out, and are whole or gone a moment later, if the host is not too busy.
            # Many are hidden from us for good, and so may init be.
            hidden = [pid for pid, process in found.items() if not process.complete and pid != 1]
            leaving = (
                hidden if again < _AGAIN else [pid for pid in hidden if not found[pid].argv and found[pid].state != "?"]
            )
            if not leaving or len(leaving) > _MOST_LEAVING or time.monotonic() > deadline:
                break
            time.sleep(min(0.005 * again, 0.1))
            for pid in leaving:
                process = read(pid, proc)
                found.pop(pid)
                if process is not None:
                    found[pid] = process
        return cls(found.values(), own_line(found, proc) if ignore is None else ignore)

    @property
    def incomplete(self) -> list[Process]:
        """Processes that hide something from us; while there are any, no absence is proved."""
        return [process for process in self.by_pid.values() if not process.complete]

    def carrying(self, token: str) -> list[Mention]:
        """Every mention of token by a living process, never as a substring (safety.md A7, A8).

        Whole arguments; their fields between commas, and in each of them what follows "=" or ":"; components of paths
        in any of these, in cwd and in root; components of cgroup paths, also inside prefix-ID.scope, slice:prefix:ID
        and prefix_ID. The prefix of a scope may contain "-" itself, so every cut at "-" counts.
        Sockets and populated cgroups are evidence beside this one.
        """
        if self._index is None:
            self._index = self._build()
        mentions = self._index.get(token)
        return list(mentions) if mentions else []

    def _build(self) -> dict[str, list[Mention]]:
        index: dict[str, list[Mention]] = {}
        for process in self.by_pid.values():
            if process.dead or process.pid in self.ignored:
                continue
            for where, text in dict.fromkeys(_texts(process)):
                tokens = (cgroup_tokens if where == "cgroup" else argument_tokens)(text)
                mention = Mention(process, where, text)
                for token in tokens:
                    index.setdefault(token, []).append(mention)
        return index


def _texts(process: Process) -> Iterator[tuple[str, str]]:
    for argument in process.argv:
        yield "argument", argument
    if process.cwd:
        yield "cwd", process.cwd
    if process.root:
        yield "root", process.root
    for path in process.cgroups:
        yield "cgroup", path


def own_line(by_pid: dict[int, Process], proc: str = "/proc") -> frozenset[int]:
    """This process and its ancestors: "ansible host -a sandbox_id=web-1" carries the id in its own command line.

    The line ends at the first ancestor in another cgroup. A shim that started the container in which we run is our
    ancestor too, and it really owns what it names; it never shares the container's cgroup.
    """
    try:
        pid = int(os.readlink(f"{proc}/self"))
    except (OSError, ValueError):
        return frozenset()  # a /proc of another pid namespace: nothing in it is an ancestor of ours
    line: set[int] = set()
    own = by_pid.get(pid)
    process = own
    while own and process and process.pid not in line and process.cgroups == own.cgroups:
        line.add(process.pid)
        process = by_pid.get(process.ppid)
    return frozenset(line)


def pids(proc: str = "/proc") -> list[str]:
    """The names of the process directories in proc. Raises OSError."""
    return [name for name in os.listdir(proc) if name.isdigit()]


def read(pid: int, proc: str = "/proc") -> Process | None:
    """One process now; None when there is none. What is hidden from us makes it incomplete, never absent."""
    try:
        directory = os.open(f"{proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _GONE:
            return None
        return _hidden(pid, -1)
    # All reads go through one descriptor: it stays with this process even if the pid is given to another one.
    try:
        return _facts(directory, pid)
    except OSError as error:
        if error.errno in _GONE:
            return None
        return _hidden(pid, os.fstat(directory).st_uid)
    finally:
        os.close(directory)


def namespace_pids(pid: int, proc: str = "/proc") -> tuple[int, ...] | None:
    """The numbers that a process has in each pid namespace, from ours inwards; None when they cannot be read."""
    return _numbers(f"{proc}/{pid}/status", "NSpid:")


def user_ids(pid: int, proc: str = "/proc") -> frozenset[int] | None:
    """All user ids of a process, the real one too; None when they cannot be read."""
    found = _numbers(f"{proc}/{pid}/status", "Uid:")
    return None if found is None else frozenset(found)


def environment(pid: int, proc: str = "/proc") -> dict[str, str]:
    """The variables that a process was started with; none where it is gone. Raises OSError."""
    try:
        with open(f"{proc}/{pid}/environ", "rb") as variables:
            pairs = os.fsdecode(variables.read(_ARGUMENTS_MAX)).split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _numbers(path: str, label: str) -> tuple[int, ...] | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith(label):
                    return tuple(int(number) for number in line.split()[1:])
    except OSError:
        pass
    return None


def _hidden(pid: int, uid: int) -> Process:
    return Process(pid, 0, "?", 0, "", None, (), None, None, (), uid, False, False)


def _facts(directory: int, pid: int, again: int = _AGAIN) -> Process | None:
    # The directory's owner is the effective uid, also of a process that forbids core dumps.
    uid = os.fstat(directory).st_uid
    comm, fields = _stat(directory, "stat")
    state, ppid, flags, start = fields[0], int(fields[1]), int(fields[6]), int(fields[19])
    at = ""
    if state in "ZXx":
        tid = _living_thread(directory, pid)
        if tid is None:
            return Process(pid, ppid, state, start, comm, None, (), None, None, (), uid, True, True)
        at = f"task/{tid}/"  # an ended leader has no arguments, cwd or descriptors of its own any more
    if flags & _KERNEL_THREAD:
        return Process(pid, ppid, state, start, comm, None, (), None, None, (), uid, True, False)
    problems: list[int] = []
    try:
        argv = _arguments(directory, at + "cmdline", problems)
        exe = _link(directory, at + "exe", problems)
        cwd = _link(directory, at + "cwd", problems)
        root = _link(directory, at + "root", problems)
        cgroups = _cgroups(directory, at + "cgroup", problems)
        ended = bool(at) and _stat(directory, at + "stat")[1][0] in "ZXx"
    except OSError as error:
        if not at or error.errno not in _GONE:
            raise
        ended = True
    if ended:  # that thread alone, and others may run
        if again:
            return _facts(directory, pid, again - 1)
        return Process(pid, ppid, state, start, comm, None, (), None, None, (), uid, False, False)
    if problems or (exe is None and not argv):
        # The kernel also answers EACCES for a process that has just ended. And one on its way out has lost its
        # arguments but may hold its files and memory for minutes: it lives, and we cannot tell for whom.
        if not at and _stat(directory, "stat")[1][0] in "ZXx":
            return _facts(directory, pid)
        problems.append(0)
    program = argv[0].rsplit("/", 1)[-1] if argv and " " not in argv[0] else ""
    return Process(pid, ppid, state, start, program or comm, exe, argv, cwd, root, cgroups, uid, not problems, False)


def _stat(directory: int, name: str) -> tuple[str, list[str]]:
    """The kernel's name of a process, which may hold blanks and brackets, and the 20 fields of stat after it."""
    data = _bytes(directory, name)
    end = data.rindex(b")")
    return os.fsdecode(data[data.index(b"(") + 1 : end]), data[end + 2 :].decode().split(" ", 20)


def _living_thread(directory: int, pid: int) -> int | None:
    """A thread that still runs behind an ended leader; None when the whole process is dead (safety.md A9)."""
    tasks = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        tids = [int(name) for name in os.listdir(tasks)]
    finally:
        os.close(tasks)
    if len(tids) <= 1:
        return None
    for tid in tids:
        try:
            if tid != pid and _stat(directory, f"task/{tid}/stat")[1][0] not in "ZXx":
                return tid
        except OSError as error:
            if error.errno not in _GONE:
                raise
    return pid


def _bytes(directory: int, name: str, limit: int = 1 << 16) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        data = os.read(descriptor, 4096)
        if len(data) < 4096:  # these files hand out all they have, so a short read is the end
            return data
        chunks = [data]
        while data and limit > 0:
            data = os.read(descriptor, 1 << 16)
            limit -= len(data)
            chunks.append(data)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _arguments(directory: int, name: str, problems: list[int]) -> tuple[str, ...]:
    try:
        data = _bytes(directory, name, _ARGUMENTS_MAX)
    except PermissionError:
        problems.append(errno.EACCES)
        return ()
    if len(data) > _ARGUMENTS_MAX:
        problems.append(errno.E2BIG)
    data = data.rstrip(b"\0")  # programs that set a title leave the rest as NULs
    return tuple(os.fsdecode(data).split("\0")) if data else ()


def _link(directory: int, name: str, problems: list[int]) -> str | None:
    try:
        text = os.readlink(name, dir_fd=directory)
    except PermissionError:
        problems.append(errno.EACCES)
        return None
    except OSError as error:
        if error.errno not in _GONE:
            problems.append(error.errno or errno.EIO)
        return None
    return text[: -len(_DELETED)] if text.endswith(_DELETED) else text


def _cgroups(directory: int, name: str, problems: list[int]) -> tuple[str, ...]:
    try:
        return _cgroup_paths(_bytes(directory, name))
    except FileNotFoundError:
        return ()  # a kernel without cgroups: the process is there all the same
    except PermissionError:
        problems.append(errno.EACCES)
        return ()


@lru_cache(maxsize=4096)
def _cgroup_paths(data: bytes) -> tuple[str, ...]:
    text = os.fsdecode(data)
    paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
    return tuple(dict.fromkeys(path[: -len(_DELETED)] if path.endswith(_DELETED) else path for path in paths))


def started_at(process: Process) -> float:
    """Start in seconds since the epoch, by the wall clock as it is set now; exact to 1/100 s (start_ticks).

    Counted back from now on the boot clock, since btime of /proc/stat has whole seconds only.
    """
    return host.boot_time() + process.start_ticks / _TICKS


def started_before(process: Process, written: float, slack: float = 2.0) -> bool | None:
    """Whether the process started no later than a record was written (seconds since the epoch; safety.md E1).

    slack covers tick rounding (10 ms), time stamps of whole seconds and one leap second. None: the process hides its
    start; or the record seems to be from the future or from before this boot, so that the wall clock was stepped or it
    is another boot's (safety.md F1, F2).
    """
    boot = host.boot_time()
    if process.state == "?":
        return None
    if written > time.time() + slack or written < boot - slack:
        return None
    return boot + process.start_ticks / _TICKS <= written + slack


def describe(process: Process) -> str:
    """For messages, local time: "sandbox-vmm (pid 4711, running since 02:14)", with the date when it is older."""
    if process.dead:
        return f"{process.program} (pid {process.pid}, ended)"
    if process.state == "?":
        return f"a process that cannot be read (pid {process.pid})"
    begun = started_at(process)
    clock = "%H:%M" if time.time() - begun < 12 * 3600 else "%Y-%m-%d %H:%M"
    verb = "stopped, started" if process.state in "Tt" else "running since"
    return f"{process.program} (pid {process.pid}, {verb} {time.strftime(clock, time.localtime(begun))})"
