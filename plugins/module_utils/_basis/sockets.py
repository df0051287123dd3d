# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a Unix socket, asked from the kernel and never by connecting (safety.md B1, B2).

Private to the collection: no promise of stability for others.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import struct
import threading
from collections.abc import Collection
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import os_reason
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import superblock_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import pids, read
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.syscalls import CLONE_NEWNET, setns

# From linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h and linux/sched.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_UDIAG_SHOW_NAME, _UDIAG_SHOW_VFS, _UDIAG_SHOW_RQLEN = 0x1, 0x2, 0x10
_UNIX_DIAG_NAME, _UNIX_DIAG_VFS, _UNIX_DIAG_RQLEN = 0, 1, 4
_TCP_LISTEN = 10
_SHOWN = _UDIAG_SHOW_NAME | _UDIAG_SHOW_VFS | _UDIAG_SHOW_RQLEN

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_MESSAGE = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_VFS = struct.Struct("=II")
_QUEUES = struct.Struct("=II")

_ANSWER_SECONDS = 5.0
_TRIES = 5
_ESCAPE = re.compile(rb"\\([0-7]{3})")

# The superblock's device and the lower 32 bits of the inode number: that is what the kernel tells.
SocketInode = tuple[int, int]


class Bound(NamedTuple):
    """One socket that has a name. inode: of its file, None where the name is an abstract one.

    name: as it was given to bind, so it may be relative; an abstract one without its leading NUL. listening: accepts.
    number: the one of "socket:[4711]" in /proc/PID/fd. waiting: of a listener, the connections that it has not accepted
    yet; the kernel does not show these as sockets.
    """

    inode: SocketInode | None
    name: str
    listening: bool
    number: int = 0
    waiting: int = 0

    @property
    def connections(self) -> int:
        """How many clients it stands for."""
        return self.waiting if self.listening else 1


class Listeners:
    """All Unix sockets that have names. unreadable: why not every namespace was asked; then absence is unknown."""

    def __init__(self, sockets: list[Bound], unreadable: tuple[str, ...]) -> None:
        self.unreadable = unreadable
        self.by_inode: dict[SocketInode, list[Bound]] = {}
        self._abstract: set[str] = set()
        for one in sockets:
            if one.inode is not None:
                self.by_inode.setdefault(one.inode, []).append(one)
            else:
                self._abstract.add(one.name)

    def listening(self, path: str) -> bool | None:
        """Whether somebody accepts connections on the socket file at path; None: cannot tell (safety.md A1).

        The inode number is compared in 32 bits, so a coincidence can only say True.
        """
        return self._any(path, listening_only=True)

    def bound(self, path: str) -> bool | None:
        """Whether any socket belongs to the file at path: listening, a datagram socket, or an accepted connection.

        A daemon with one client may have closed its listener and serve the accepted connection only.
        """
        return self._any(path, listening_only=False)

    def at(self, inodes: Collection[SocketInode]) -> list[Bound]:
        """All sockets that belong to a file: the listener, and each connection that it has accepted."""
        return [one for inode in inodes for one in self.by_inode.get(inode, ())]

    def has_abstract(self, name: str) -> bool | None:
        """Whether any socket has that abstract name, in whichever network namespace; None: cannot tell."""
        return True if name in self._abstract else (None if self.unreadable else False)

    def _any(self, path: str, listening_only: bool) -> bool | None:
        try:
            inodes = socket_inodes(path)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        for inode in inodes:
            for one in self.by_inode.get(inode, ()):
                if one.listening or not listening_only:
                    return True
        return None if inodes and self.unreadable else False


def socket_inodes(path: str) -> set[SocketInode]:
    """The numbers under which the kernel may show the socket file at path; empty when it is no socket. Raises OSError.

    The last component is not followed. Opening with O_PATH does not connect.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode):
            return set()
        number = status.st_ino & 0xFFFFFFFF
        mount = superblock_of(descriptor)
    finally:
        os.close(descriptor)
    # st_dev of btrfs and of some overlays is not the superblock's device.
    return {(status.st_dev, number)} | ({(mount.device, number)} if mount else set())


def listeners(proc: str = "/proc") -> Listeners:
    """Ask every network namespace that a process or a mount of ours keeps. Raises OSError when proc cannot be listed.

    A namespace that only an open socket or a thread of a process elsewhere keeps alive has no name and is not asked.
    """
    namespaces, unreadable = _namespaces(proc)
    found: list[Bound] = []
    finished: list[bool] = []

    def ask_all() -> None:
        for name, paths in namespaces.items():
            try:
                found.extend(_ask(name, paths))
            except OSError as error:
                unreadable.append(f"the network namespace {name} cannot be asked: {os_reason(error)}")
        finished.append(True)

    # setns moves a thread: one of its own, so that the rest of this process stays where it is, also after an error.
    thread = threading.Thread(target=ask_all, daemon=True)
    thread.start()
    thread.join()
    if not finished:  # an error that nobody foresaw ended the thread: what it did not see is not absent
        unreadable.append("the look at the network namespaces broke off")
    return Listeners(found, tuple(unreadable))


def _namespaces(proc: str) -> tuple[dict[str, list[str]], list[str]]:
    """Each distinct network namespace, "net:[4026531840]", with the paths that lead to it; and what was hidden."""
    namespaces: dict[str, list[str]] = {}
    hidden = 0
    for pid in pids(proc):
        path = f"{proc}/{pid}/ns/net"
        try:
            namespaces.setdefault(os.readlink(path), []).append(path)
        except OSError:
            hidden += _hidden_namespace(int(pid), proc, namespaces)
    with open(f"{proc}/self/mountinfo", "rb") as lines:
        for line in lines:
            # "ip netns" and CNI keep a namespace by a mount; a process elsewhere may hold its sockets.
            if b" - nsfs " in line:
                root, place = line.split(b" ")[3:5]
                if root.startswith(b"net:["):
                    place = _ESCAPE.sub(lambda match: bytes((int(match.group(1), 8),)), place)
                    namespaces.setdefault(os.fsdecode(root), []).append(os.fsdecode(place))
    unreadable = [f"the network namespaces of {hidden} processes cannot be read"] if hidden else []
    return namespaces, unreadable


def _hidden_namespace(pid: int, proc: str, namespaces: dict[str, list[str]]) -> bool:
    """Whether a process whose namespace could not be read hides one: not if it is dead or a thread of it tells."""
    process = read(pid, proc)
    if process is None or process.dead:
        return False
    if pid == 1:
        # An init may be guarded even from root. It lives in the initial network namespace, and so does kthreadd.
        kthreadd = read(2, proc)
        if kthreadd is not None and kthreadd.program == "kthreadd" and kthreadd.ppid == 0 and not kthreadd.argv:
            try:
                os.readlink(f"{proc}/2/ns/net")
            except OSError:
                return True
            return False
    try:
        for tid in os.listdir(f"{proc}/{pid}/task"):
            path = f"{proc}/{pid}/task/{tid}/ns/net"
            try:
                namespaces.setdefault(os.readlink(path), []).append(path)
                break
            except FileNotFoundError:
                continue  # an ended leader while its threads run (safety.md A9), or who gives up all on the way out
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ESRCH)
    return False


def _ask(name: str, paths: list[str]) -> list[Bound]:
    if os.readlink("/proc/thread-self/ns/net") == name:
        return _dump()
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                continue
            raise
        try:
            # The process may have moved or ended since; only the namespace that is named is asked.
            if name == f"net:[{os.fstat(descriptor).st_ino}]":
                setns(descriptor, CLONE_NEWNET)
                return _dump()
        finally:
            os.close(descriptor)
    return []  # all that kept it are gone, and it with them


def _dump() -> list[Bound]:
    """All sockets bound to files in the namespace of this thread; again while the kernel says that it changed."""
    for _try in range(_TRIES):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(_ANSWER_SECONDS)
            request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOWN, 0xFFFFFFFF, 0xFFFFFFFF)
            size = _HEADER.size + len(request)
            kind = _NLM_F_REQUEST | _NLM_F_DUMP
            netlink.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, kind, 1, 0) + request)
            answer = _receive(netlink)
        if answer is not None:
            return answer
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _receive(netlink: socket.socket) -> list[Bound] | None:
    """The answer of one dump; None when it was interrupted by a change."""
    found: list[Bound] = []
    whole = True
    while True:
        data, _ancillary, flags, _sender = netlink.recvmsg(1 << 18)
        if flags & socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        at = 0
        while at + _HEADER.size <= len(data):
            size, kind, mark, _sequence, _port = _HEADER.unpack_from(data, at)
            whole = whole and not mark & _NLM_F_DUMP_INTR
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                # Both carry a negative error number, or 0.
                code = -struct.unpack_from("=i", data, at + _HEADER.size)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return found if whole else None
            one = _bound(data, at + _HEADER.size, at + size)
            if one is not None:
                found.append(one)
            at += (size + 3) & ~3


def _bound(data: bytes, at: int, end: int) -> Bound | None:
    _family, _type, state, _pad, socket_number, _cookie, _cookie_high = _MESSAGE.unpack_from(data, at)
    at += _MESSAGE.size
    attributes = {}
    while at + _ATTRIBUTE.size <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        attributes[kind] = data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
    text = attributes.get(_UNIX_DIAG_NAME, b"")
    if _UNIX_DIAG_VFS not in attributes:
        return (
            Bound(None, os.fsdecode(text[1:]), state == _TCP_LISTEN, socket_number) if text.startswith(b"\0") else None
        )
    number, device = _VFS.unpack(attributes[_UNIX_DIAG_VFS])
    # The kernel's own form of a device number: 12 bits major, 20 bits minor. st_dev has the one of makedev(3).
    inode = (os.makedev(device >> 20, device & 0xFFFFF), number)
    listening = state == _TCP_LISTEN
    # Of any other socket it is the bytes that wait.
    waiting = _QUEUES.unpack(attributes.get(_UNIX_DIAG_RQLEN, bytes(_QUEUES.size)))[0] if listening else 0
    return Bound(inode, os.fsdecode(text.split(b"\0", 1)[0]), listening, socket_number, waiting)
