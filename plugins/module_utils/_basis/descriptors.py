# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has files open, who holds a lock or waits for one, and who stands in a tree.

Everything is read from /proc/PID: links and fdinfo, which never touch the file system of the file, so a hanging FUSE or
NFS mount cannot block (safety.md B6). Known limits: the descriptors of a thread that left its process's table are not
seen, and a process in another mount namespace shows its paths as they are there (safety.md D3 covers those by mounts).

Private to the collection: no promise of stability for others.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import Superblock, superblocks
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import REMOTE
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, pids, read

Inode = tuple[int, int]  # st_dev and st_ino

_GONE = (errno.ENOENT, errno.ESRCH, errno.ENOTDIR)
_DELETED = " (deleted)"
# In what uses() finds: of a process that hides what it uses; of one that uses a path which the kernel does not show.
HIDDEN, TOO_LONG = "", "/(a path of more than a page)"
_INFO = re.compile(rb"^(mnt_id|ino|lock):\t(.*)$", re.MULTILINE)
_INFO_LIMIT = 1 << 20


class Holder(NamedTuple):
    """One descriptor of another process. locks: its own lock lines as "FLOCK WRITE" (safety.md B5). path: its link."""

    pid: int
    descriptor: int
    inode: Inode
    locks: tuple[str, ...]
    path: str


class Descriptors(NamedTuple):
    """What open_by_others saw. unreadable: pids whose descriptors are hidden, so that nothing about them is proved."""

    by_inode: dict[Inode, list[Holder]]
    unreadable: tuple[int, ...]

    def of(self, inode: Inode) -> list[Holder]:
        """All descriptors of other processes on this inode."""
        return self.by_inode.get(inode, [])

    def lock_holders(self, inode: Inode) -> list[Holder]:
        """The descriptors among them through which an flock is held; several after a fork (safety.md B5)."""
        return [holder for holder in self.of(inode) if any(lock.startswith("FLOCK ") for lock in holder.locks)]


class User(NamedTuple):
    """How a process uses a tree: where is cwd, root, exe or descriptor, path is what it names."""

    pid: int
    where: str
    path: str


class Users(NamedTuple):
    """What users_below saw. unreadable as in Descriptors."""

    users: tuple[User, ...]
    unreadable: tuple[int, ...]


class _Wanted:
    """The inodes looked for, and how a descriptor is compared with them without a stat of its file.

    fdinfo names the kernel's inode number (Linux 5.14) and the mount, mountinfo its superblock. That is st_dev and
    st_ino but for btrfs and some overlays; their devices are in no mountinfo. Only for those, and for older kernels,
    the file is really examined, and never on a file system that may not answer.
    """

    def __init__(self, inodes: Collection[Inode]) -> None:
        self.inodes = frozenset(inodes)
        self._own = superblocks()
        plain = {mount.device for mount in self._own.values()}
        self._numbers: dict[int, set[int]] = {}
        for device, number in self.inodes:
            self._numbers.setdefault(number, set()).add(device)
        self._devices = {device for device, _number in self.inodes}
        self._examine_all = not self._devices <= plain

    def match(self, base: str, link: str, info: dict[bytes, bytes], mounts: _Mounts) -> Inode | None:
        """The wanted inode behind one descriptor. Raises OSError where that cannot be told."""
        number = int(info.get(b"ino", b"-1"))
        known = number >= 0
        if known and not self._examine_all and number not in self._numbers:
            return None
        mount_id = int(info.get(b"mnt_id", b"-1"))
        mount = mounts.of(base).get(mount_id) or self._own.get(mount_id)
        if mount is None:
            # A mount of nobody's view, as memfd_create's and one that virtiofsd has detached: the number alone decides,
            # in favour of keeping. An older kernel tells none, and is not asked: the file system may not answer.
            return next(((device, number) for device in self._numbers.get(number, ())), None)
        if known and mount.device in self._numbers.get(number, ()):
            return mount.device, number
        if known and (not self._examine_all or mount.device in self._devices):
            return None
        if mount.device not in self._devices and mount.fstype.partition(".")[0] in REMOTE:
            return None
        status = os.stat(link)
        inode = (status.st_dev, status.st_ino)
        return inode if inode in self.inodes else None


class _Mounts:
    """The mounts of each process looked at, read at most once a mount namespace."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[int, Superblock]] = {}

    def of(self, base: str) -> dict[int, Superblock]:
        # A changed root hides mounts from the process's own list, so it is part of the key.
        key = os.readlink(f"{base}/ns/mnt") + os.readlink(f"{base}/root")
        if key not in self._by_namespace:
            self._by_namespace[key] = superblocks(base)
        return self._by_namespace[key]


class _Look:
    """One pass over the other processes, and which of them refused to be read."""

    def __init__(self, proc: str) -> None:
        self.proc = proc
        self.unreadable: list[int] = []

    def others(self, family: Collection[int] = ()) -> Iterator[str]:
        """The directory of each process but this one. family: others to be left out."""
        own = {str(pid) for pid in (os.getpid(), *family)}
        return (f"{self.proc}/{name}" for name in pids(self.proc) if name not in own)

    @contextmanager
    def at(self, process: str) -> Iterator[None]:
        """Read one process: its end ends the reading, a refusal is noted."""
        try:
            yield
        except OSError as error:
            if error.errno in _GONE:
                return
            # The kernel also answers EACCES for a process that has just ended.
            pid = int(process.rsplit("/", 1)[1])
            now = read(pid, self.proc)
            if now is not None and not now.dead:
                self.unreadable.append(pid)


def open_by_others(inodes: Collection[Inode], proc: str = "/proc") -> Descriptors:
    """Which descriptors other processes have on these inodes, in one pass over /proc (safety.md B5, C3).

    A pass costs the same for one inode and for thousands: ask for all at once. Raises OSError when proc cannot be
    listed.
    """
    found: dict[Inode, list[Holder]] = {}
    look = _Look(proc)
    if not inodes:
        return Descriptors(found, ())
    wanted = _Wanted(inodes)
    mounts = _Mounts()
    for process in look.others():
        with look.at(process):
            for base, name in _descriptors(process, os.listdir(f"{process}/fd"), None):
                holder = _holder(process, base, name, wanted, mounts)
                if holder is not None:
                    found.setdefault(holder.inode, []).append(holder)
    return Descriptors(found, tuple(look.unreadable))


def _descriptors(process: str, names: list[str], tids: list[str] | None) -> Iterator[tuple[str, str]]:
    """Each descriptor as (directory that has fd and fdinfo, number). names: what is listed in its fd. tids: its
    threads, listed after that; None: not yet."""
    base = process
    if not names:
        # An ended leader has given up its descriptors while the threads behind it keep theirs (safety.md A9).
        tids = os.listdir(f"{process}/task") if tids is None else tids
        for tid in tids if len(tids) > 1 else ():
            base = f"{process}/task/{tid}"
            try:
                names = os.listdir(f"{base}/fd")
            except FileNotFoundError:
                continue
            if names:
                break
    for name in names:
        yield base, name


def _link(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError as error:
        # The kernel shows a path of at most a page; a deep tree is still a file like any other.
        if error.errno == errno.ENAMETOOLONG:
            return TOO_LONG
        raise


def _holder(
    process: str, base: str, name: str, wanted: _Wanted, mounts: _Mounts, path: str | None = None
) -> Holder | None:
    """path: what its link says, if that was read before."""
    link = f"{base}/fd/{name}"
    try:
        path = _link(link) if path is None else path
        # Pipes, sockets and the like have no path; /dev/null is by far the most frequent of the others.
        if path[:1] != "/" or path == "/dev/null":
            return None
        info, locks = _info(f"{base}/fdinfo/{name}")
        inode = wanted.match(base, link, info, mounts)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    if inode is None:
        return None
    return Holder(int(process.rsplit("/", 1)[1]), int(name), inode, locks, path)


def _info(path: str) -> tuple[dict[bytes, bytes], tuple[str, ...]]:
    """The plain entries of an fdinfo file, and its lock lines cut to kind and mode."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _INFO_LIMIT)
    finally:
        os.close(descriptor)
    entries = _INFO.findall(data)
    # "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF"
    fields = [value.decode("ascii", "replace").split() for key, value in entries if key == b"lock"]
    return dict(entries), tuple(f"{line[1]} {line[3]}" for line in fields if len(line) > 3)


def lock_holders(inode: Inode, proc: str = "/proc") -> list[Process]:
    """The other processes that hold an flock on this inode (st_dev, st_ino), for messages (safety.md B5).

    Empty means that no holder is visible from here; one that has ended since the look holds nothing, reaped or not.
    Costs one pass over /proc.
    """
    holders = open_by_others([inode], proc).lock_holders(inode)
    found = (read(pid, proc) for pid in dict.fromkeys(holder.pid for holder in holders))
    return [process for process in found if process is not None and not process.dead]


def locked_inodes(proc: str = "/proc") -> frozenset[int]:
    """The inode numbers on which any lock is held, as /proc/locks shows them: a hint where to look closer (B5).

    Raises Unreadable.
    """
    try:
        with open(f"{proc}/locks", encoding="utf-8", errors="replace") as lines:
            fields = [line.split() for line in lines]
    except OSError as error:
        raise Unreadable(f"{proc}/locks", os_reason(error)) from error
    places = [line[5] for line in fields if len(line) >= 8 and line[1] != "->"]
    return frozenset(int(number) for place in places if (number := place.rpartition(":")[2]).isdigit())


def lock_waiters(inode: Inode, proc: str = "/proc") -> tuple[int, ...]:
    """The pids that wait for a lock on this inode (st_dev, st_ino), as /proc/locks shows them (safety.md C3).

    Waiters outside our pid namespace are not shown. Raises Unreadable.
    """
    device, number = inode
    try:
        with open(f"{proc}/locks", "rb") as locks:
            text = locks.read()
    except OSError as error:
        raise Unreadable(f"{proc}/locks", os_reason(error)) from error
    if b" -> " not in text:  # as nearly always, also where hundreds of locks are held
        return ()
    # "1: -> FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF"
    lines = text.decode("utf-8", "replace").splitlines()
    blocked = [fields for line in lines if " -> " in line and len(fields := line.split()) >= 7]
    # Written is the superblock's device. Where st_dev is another one (btrfs, overlay) the inode number alone decides.
    plain = any(mount.device == device for mount in superblocks().values())
    own = f"{os.major(device):02x}:{os.minor(device):02x}:{number}"
    waiters = [
        int(fields[5])
        for fields in blocked
        if fields[6] == own or (not plain and fields[6].rpartition(":")[2] == str(number))
    ]
    return tuple(dict.fromkeys(waiters))


def users_below(paths: Collection[str], proc: str = "/proc") -> Users:
    """The processes that stand in or use a tree: cwd, root (of each thread), exe, descriptors (safety.md D8).

    paths: absolute, without symbolic links; each counts with all below it, by whole components. This process itself is
    left out, its ancestors are not. Only links are read. Raises OSError when proc cannot be listed.
    """
    tops = frozenset(path.rstrip("/") for path in paths)
    depths = sorted({top.count("/") for top in tops})
    users: list[User] = []
    look = _Look(proc)
    for process in look.others() if tops else ():
        pid = int(process.rsplit("/", 1)[1])
        with look.at(process):
            for where, path, _at in _used_paths(process):
                if path is TOO_LONG:
                    look.unreadable.append(pid)
                elif _tops_of(path, tops, depths):
                    users.append(User(pid, where, path))
    return Users(tuple(dict.fromkeys(users)), tuple(dict.fromkeys(look.unreadable)))


def siblings(parent: int, proc: str = "/proc") -> frozenset[int]:
    """The children of this process's parent, with itself. Some may be missing; and all are where the kernel does not
    list them, or proc is of another pid namespace, whose numbers mean others."""
    try:
        own = int(os.readlink(f"{proc}/self"))
        with open(f"{proc}/{parent}/task/{parent}/children", encoding="ascii") as text:
            found = frozenset(map(int, text.read().split()))
    except (OSError, ValueError):
        return frozenset()
    return found if own == os.getpid() and own in found else frozenset()


def uses(
    inodes: Collection[Inode], paths: Collection[str], proc: str = "/proc", parent: int = 0
) -> set[tuple[Inode | str, int]]:
    """Who has one of these inodes open, or uses one of these trees, as (inode or path, pid): open_by_others and
    users_below in one pass over /proc; and who cannot be told that of, as (HIDDEN, pid) or (TOO_LONG, pid), but for
    init, which may be guarded for good and owns none. Raises OSError when proc cannot be listed.

    parent: of this process, whose other children are workers of the same task, each with objects of its own and
    hundreds of locks; 0: there are none.
    """
    family = siblings(parent, proc) if parent else frozenset()
    found = _uses(inodes, paths, proc, family)
    if family and not family <= siblings(parent, proc):
        return _uses(inodes, paths, proc, ())  # one has ended, and somebody else may have its pid by now
    return found


def _uses(
    inodes: Collection[Inode], paths: Collection[str], proc: str, family: Collection[int]
) -> set[tuple[Inode | str, int]]:
    tops = frozenset(path.rstrip("/") for path in paths)
    depths = sorted({top.count("/") for top in tops})
    wanted, mounts = _Wanted(inodes), _Mounts()
    found: set[tuple[Inode | str, int]] = set()
    look = _Look(proc)
    for process in look.others(family) if tops or inodes else ():
        pid = int(process.rsplit("/", 1)[1])
        with look.at(process):
            for where, path, link in _used_paths(process):
                if path is TOO_LONG and tops:
                    found.add((TOO_LONG, pid))
                found.update((top, pid) for top in _tops_of(path, tops, depths))
                if where == "descriptor" and inodes and path != "/dev/null":
                    base, _slash, name = link.rpartition("/fd/")
                    holder = _holder(process, base, name, wanted, mounts, path)
                    if holder is not None:
                        found.add((holder.inode, pid))
    found.update((HIDDEN, pid) for pid in look.unreadable if pid != 1)
    return found


def _tops_of(path: str, tops: frozenset[str], depths: list[int]) -> list[str]:
    """The trees that a path lies in; as quick for thousands of them as for one."""
    parts = path.rstrip("/").split("/")
    return [top for depth in depths if depth < len(parts) and (top := "/".join(parts[: depth + 1])) in tops]


def _used_paths(process: str) -> Iterator[tuple[str, str, str]]:
    """(where, path, link in /proc) for all that one process names, the path without " (deleted)"; or TOO_LONG.

    Raises PermissionError at the end where something could not be told.
    """
    hidden = False
    descriptors = os.listdir(f"{process}/fd")
    tids = os.listdir(f"{process}/task")
    links = [("exe", f"{process}/exe")] + [
        # A thread may have a cwd and root of its own (unshare(CLONE_FS), as the Rust virtiofsd's do).
        (where, f"{process}/task/{tid}/{where}")
        for tid in tids
        for where in ("cwd", "root")
    ]
    for base, name in _descriptors(process, descriptors, tids):
        links.append(("descriptor", f"{base}/fd/{name}"))
    for where, link in links:
        try:
            path = _link(link)
        except OSError as error:
            hidden = hidden or error.errno not in _GONE
            continue
        if path[:1] == "/":
            yield where, path[: -len(_DELETED)] if path.endswith(_DELETED) else path, link
    if hidden:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), process)
