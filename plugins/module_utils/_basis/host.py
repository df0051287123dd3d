# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about this host and this boot: what /proc shows, who the machine is, since when it runs.

Private to the collection: no promise of stability for others.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    OutsideRoot,
    Unreadable,
    os_reason,
)

# PROC_PID_INIT_INO and PROC_USER_INIT_INO: the kernel gives the initial namespaces fixed inode numbers.
INITIAL_PID_NAMESPACE = "pid:[4026531836]"
INITIAL_USER_NAMESPACE = "user:[4026531837]"
_CAP_SYS_PTRACE = 19


class Sight(NamedTuple):
    """Whether /proc shows all processes of this host (safety.md A2). why_not is one clause, empty when all is true."""

    all: bool
    why_not: str


class Superblock(NamedTuple):
    """The file system that a mount shows. device: as os.makedev makes it. options: the mount's and the superblock's."""

    device: int
    fstype: str
    options: tuple[str, ...]


def superblocks(process: str = "/proc/self", only: str = "") -> dict[int, Superblock]:
    """Mount id to superblock for all mounts that one process sees; process is its directory in /proc.

    only: the id of the one mount that is wanted, since most of the time goes into the lines of the others.

    The device is the superblock's own: btrfs and overlay report another one in st_dev (safety.md B5).
    Raises OSError.
    """
    found = {}
    with open(f"{process}/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            if only and not line.startswith(f"{only} "):
                continue
            # Optional fields of any number stand before the single "-"; blanks inside names are escaped.
            head, _separator, tail = line.partition(" - ")
            fields = head.split(" ", 6)
            fstype, _source, options = tail.rstrip("\n").split(" ", 2)
            major, minor = fields[2].split(":")
            device = os.makedev(int(major), int(minor))
            found[int(fields[0])] = Superblock(device, fstype, (*fields[5].split(","), *options.split(",")))
    return found


def superblock_of(descriptor: int) -> Superblock | None:
    """The superblock below an open descriptor (O_PATH is enough); None where its mount is not in our namespace.

    Raises OSError.
    """
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("mnt_id:"):
                number = line.split()[1]
                return superblocks(only=number).get(int(number))
    return None


def sight(proc: str = "/proc") -> Sight:
    """Whether the absence of a process in proc proves anything (safety.md A2). Every doubt says no.

    It says that all processes are listed and may be read in general; a single one that still refuses is told by the
    look itself (Process.complete, descriptors.uses, Listeners.unreadable).
    """
    for look in (_namespace_doubt, _mount_doubt, _reading_doubt):
        try:
            doubt = look(proc)
        except OSError as error:
            doubt = f"{error.filename or proc} cannot be read ({os_reason(error)})"
        if doubt:
            return Sight(False, doubt)
    return Sight(True, "")


def _namespace_doubt(proc: str) -> str:
    # In another namespace's /proc "self" names nobody: that raises ENOENT, which is a doubt as well.
    if os.readlink(f"{proc}/self/ns/pid") != INITIAL_PID_NAMESPACE:
        return "this is not the initial pid namespace, processes outside it are hidden"
    return ""


def _mount_doubt(proc: str) -> str:
    descriptor = os.open(proc, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount = superblock_of(descriptor)
    finally:
        os.close(descriptor)
    if mount is None or mount.fstype != "proc":
        return f"{proc} is not a mount of type proc"
    for option in mount.options:
        # Written as a number before Linux 5.8, as a word since; what is not plainly off hides something.
        if option.startswith("hidepid=") and option not in ("hidepid=0", "hidepid=off"):
            return f"{proc} is mounted with {option}"
    return ""


def _reading_doubt(proc: str) -> str:
    for name in ("stat", "cmdline"):
        descriptor = os.open(f"{proc}/1/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.read(descriptor, 1)
        finally:
            os.close(descriptor)
    # Not judged by pid 1's cwd: an init that a security module guards is one unreadable process, not blindness.
    if os.readlink(f"{proc}/self/ns/user") != INITIAL_USER_NAMESPACE or not _may_trace(proc):
        return "without root (CAP_SYS_PTRACE) working directories and descriptors of other processes are hidden"
    return ""


def _may_trace(proc: str) -> bool:
    with open(f"{proc}/self/status", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_PTRACE & 1)
    return False


def pid_namespace() -> str:
    """The one that this task is in, as "pid:[4026531836]". Raises OSError."""
    return os.readlink("/proc/self/ns/pid")


def mount_namespace(process: str = "self") -> str | None:
    """The one that a process is in, as "mnt:[4026531841]"; None when that cannot be read."""
    try:
        return os.readlink(f"/proc/{process}/ns/mnt")
    except OSError:
        return None


def boot_id() -> str:
    """The kernel's random id of this boot, a UUID in lower case. Raises Unreadable."""
    return _first_line("/proc/sys/kernel/random/boot_id", follow=True) or ""


def machine_id(host_root: str = "/") -> str | None:
    """The 32 hexadecimal digits of etc/machine-id (or D-Bus's copy) below host_root; None where none is set.

    A link that leaves host_root is refused with OutsideRoot, other errors raise Unreadable.
    """
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        path = os.path.join(host_root, name)
        root = os.path.realpath(host_root)
        real = os.path.realpath(path)
        if os.path.commonpath((root, real)) != root:
            raise OutsideRoot(path, f"it leads to {real}, outside of {host_root}", "Copy the file in its place.")
        text = _first_line(real, follow=False)
        if text and len(text) == 32 and not text.strip("0123456789abcdefABCDEF"):
            return text.lower()
    return None


def _first_line(path: str, follow: bool) -> str | None:
    # O_NONBLOCK: a fifo in the place of the file must not hold us up (safety.md B6).
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
        try:
            data = os.read(descriptor, 256)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(path, os_reason(error)) from error
    return data.decode("ascii", "replace").split("\n", 1)[0].strip()


def uptime() -> float:
    """Seconds since boot, suspend included. From the clock: a container may show another /proc/uptime."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_time() -> float:
    """When this boot began, in seconds since the epoch by the wall clock as it is set now.

    The wall clock can be stepped after boot; then this moves with it (safety.md F1).
    """
    return time.time() - uptime()


def age_of(changed: float) -> int | None:
    """Seconds since a change (seconds of the epoch); None where the clock was stepped (safety.md F1)."""
    age = time.time() - changed
    return int(age) if age >= -1 else None
