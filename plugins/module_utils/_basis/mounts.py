# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mounts of one mount namespace, as /proc/<pid>/mountinfo shows them (proc_pid_mountinfo(5)).

Nothing here touches the mounted file systems, so a hanging one does not block. Paths are absolute, without ".", ".."
and symbolic links: the kernel reports mount points so, and only text is compared. Other namespaces: namespaces.py.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason

_ESCAPE = re.compile(r"\\([0-7]{3})")
_DELETED = "//deleted"
# File systems whose stat may wait for a server or a daemon for ever.
REMOTE = (
    *("fuse", "virtiofs", "autofs", "vboxsf", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "coda", "ncpfs"),
    *("gfs2", "ocfs2", "orangefs", "lustre", "beegfs", "gpfs"),
)


class Mount(NamedTuple):
    """One line of mountinfo. Text is decoded with surrogateescape, as os.fsdecode does.

    root: the directory of the file system that is mounted. deleted: that directory was removed since.
    point: where, as seen from the root of the process. propagation: for example "shared:12 master:3", or "".
    options: those of the file system, not of this mount of it, for example "rw,cpu,cpuacct".
    """

    mount_id: int
    parent_id: int
    device: tuple[int, int]
    root: str
    point: str
    fs_type: str
    source: str
    propagation: str
    deleted: bool
    options: str = ""


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts of a mountinfo document, in its order. ValueError: a line that is not in that format."""
    # Not splitlines(): a name may hold any of its other separators.
    devices: dict[str, tuple[int, int]] = {}  # few, where there are tens of thousands of mounts
    return [_parse_line(line, devices) for line in text.split("\n") if line]


def _parse_line(line: str, devices: dict[str, tuple[int, int]]) -> Mount:
    fields = line.split(" ")
    # The optional fields end with a lone "-", and there may be none.
    end = fields.index("-", 6)
    if len(fields) < end + 3:
        raise ValueError(f"not a mountinfo line: {line!r}")
    device = devices.get(fields[2])
    if device is None:
        major, _colon, minor = fields[2].partition(":")
        device = devices[fields[2]] = (int(major), int(minor))
    root, point, fs_type, source = fields[3], fields[4], fields[end + 1], fields[end + 2]
    if "\\" in line:
        root, point, fs_type, source = _unescape(root), _unescape(point), _unescape(fs_type), _unescape(source)
    deleted = root.endswith(_DELETED)  # no path of the kernel's has "//" anywhere else
    return Mount(
        int(fields[0]),
        int(fields[1]),
        device,
        (root[: -len(_DELETED)] or "/") if deleted else root,
        point,
        fs_type,
        source,
        " ".join(fields[6:end]) if end > 6 else "",
        deleted,
        fields[end + 3] if len(fields) > end + 3 else "",
    )


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), field)


def read_mounts(path: str) -> list[Mount]:
    """The mounts of a mountinfo file.

    Raises OSError (ESRCH, ENOENT, EINVAL: no such process any more) and ValueError.
    """
    mounts = parse_mountinfo(_read_text(path))
    if _reads_skip_mounts():
        # Before Linux 5.8 a mount could be missed while another one went away. Both reads together miss none of the old
        # ones.
        merged = {mount.mount_id: mount for mount in mounts}
        merged.update((mount.mount_id, mount) for mount in parse_mountinfo(_read_text(path)))
        mounts = list(merged.values())
    return mounts


def _read_text(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks: list[bytes] = []
        while True:
            chunk = os.read(fd, 1 << 20)
            if not chunk:
                return os.fsdecode(b"".join(chunks))
            chunks.append(chunk)
    finally:
        os.close(fd)


def _reads_skip_mounts() -> bool:
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return not match or (int(match.group(1)), int(match.group(2))) < (5, 8)


def check_path(path: str) -> None:
    """ValueError unless the path is absolute and written as the kernel writes mount points."""
    if not path.startswith("/") or os.path.normpath(path) != path or path.startswith("//"):
        raise ValueError(f"not an absolute, normalised path: {path!r}")


def sort_key(path: str) -> str:
    """With the slash at its end a path sorts directly before all that lies below it.

    "/a/b/", "/a/b/c/", then "/a/bc/".
    """
    return path if path.endswith("/") else path + "/"


def key_range(keys: list[str], path: str) -> tuple[int, int]:
    """The slice of sorted sort_key values that are at or below path."""
    key = sort_key(path)
    return bisect_left(keys, key), bisect_left(keys, key[:-1] + "0")  # "0" is the character after "/"


class MountTable:
    """The mounts of one namespace. Cheap to make; each index is built at its first use."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self.mounts = list(mounts)
        self.by_id = {mount.mount_id: mount for mount in self.mounts}
        self._keys: list[str] = []
        self._sorted: list[Mount] = []
        self._children: dict[tuple[int, str], Mount] = {}
        self._tops: dict[str, Mount] = {}
        self._widest: dict[tuple[int, int], Mount] = {}
        self._holding: dict[str, Mount | None] = {}  # of the directories in which something was asked for

    @classmethod
    def read(cls, pid: int | str = "self", proc: str = "/proc") -> MountTable:
        """The table of a process's namespace. Unreadable: it could not be read, which is not "nothing is mounted"."""
        path = f"{proc}/{pid}/mountinfo"
        try:
            return cls(read_mounts(path))
        except OSError as error:
            raise Unreadable(path, os_reason(error)) from error
        except ValueError as error:
            raise Unreadable(path, str(error)) from error

    def at_or_below(self, path: str) -> list[Mount]:
        """The mounts whose point is path or lies below it, sorted by point; hidden ones (mounted over) too."""
        check_path(path)
        if len(self._sorted) != len(self.mounts):
            self._sorted = sorted(self.mounts, key=lambda mount: sort_key(mount.point))
            self._keys = [sort_key(mount.point) for mount in self._sorted]
        first, last = key_range(self._keys, path)
        return self._sorted[first:last]

    def holding(self, path: str) -> Mount | None:
        """The visible mount that contains path; a mount at path itself is the answer.

        None: above all that is visible.
        """
        check_path(path)
        return self._step_onto(self._holding_above(path), path)

    def holding_name(self, path: str) -> Mount | None:
        """The visible mount that contains the name of path, whatever is mounted on it."""
        check_path(path)
        return self._step_onto(None, path) if path == "/" else self._holding_above(path)

    def _holding_above(self, path: str) -> Mount | None:
        """The mount of the directory that a path is in; kept for that and all above it, which many objects share."""
        if path == "/":
            return None
        unknown: list[str] = []
        while path != "/":
            path = path[: path.rindex("/")] or "/"
            if path in self._holding:
                break
            unknown.append(path)
        current = self._holding.get(path)
        for one in reversed(unknown):
            current = self._holding[one] = self._step_onto(current, one)
        return current

    def _step_onto(self, current: Mount | None, path: str) -> Mount | None:
        """Go on as the kernel does: a mount is reached only through its parent, so hidden ones are not met."""
        if not self._children and not self._tops:
            for mount in self.mounts:
                if mount.parent_id in self.by_id and mount.parent_id != mount.mount_id:
                    self._children[(mount.parent_id, mount.point)] = mount
                else:
                    self._tops[mount.point] = mount
        while True:
            found = self._children.get((current.mount_id, path)) if current else self._tops.get(path)
            if found is None:
                return current
            current = found

    def inside(self, mount: Mount, path: str) -> str | None:
        """The path inside the mount's file system of a path at or below its point. None: that directory was deleted."""
        if mount.deleted:
            return None
        relative = path[len(mount.point) :].lstrip("/")
        return os.path.join(mount.root, relative) if relative else mount.root

    def location(self, mount: Mount) -> tuple[tuple[int, int], str] | None:
        """(device of the parent mount, path of the mount point inside that file system).

        The same in every namespace (D3).

        None: the parent is not visible (the root of the namespace), or the directory was deleted.
        """
        parent = self.by_id.get(mount.parent_id)
        if parent is None or parent.mount_id == mount.mount_id:
            return None
        inside = self.inside(parent, mount.point)
        return None if inside is None else (parent.device, inside)

    def describe(self, mount: Mount) -> str:
        """For example "overlay on /run/a/rootfs" or "bind of /var/lib/data on /run/a/mounts/data"."""
        if mount.root == "/" and not mount.deleted:
            return f"{mount.fs_type} on {mount.point}"
        return f"bind of {self._source(mount)} on {mount.point}"

    def _source(self, mount: Mount) -> str:
        """Where a bind's directory is found in this namespace, if that is easy to tell."""
        if not self._widest:
            for other in self.mounts:
                known = self._widest.get(other.device)
                if not other.deleted and (known is None or len(other.root) < len(known.root)):
                    self._widest[other.device] = other
        other = self._widest.get(mount.device, mount)
        if not mount.deleted and mount.root != other.root and sort_key(mount.root).startswith(sort_key(other.root)):
            return os.path.join(other.point, mount.root[len(other.root) :].lstrip("/"))
        return f"{mount.root} of {mount.fs_type} {mount.source}" + (" (deleted)" if mount.deleted else "")
