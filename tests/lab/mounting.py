# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real mounts, and what a test compares before and after; independent of the collection's own code, which it tests.

Only for a mount namespace of the test's own (own_host.py): nothing here is undone.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import os
import stat
import subprocess
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_REMOUNT = 1 << 5
MS_BIND = 1 << 12
MS_REC = 1 << 14
PROPAGATION = {"private": 1 << 18, "slave": 1 << 19, "shared": 1 << 20}
MNT_DETACH = 2

_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    words = [source.encode(), os.fsencode(target), kind.encode(), options.encode()]
    if _LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        raise _error(f"mount {source} on {target}")


def bind(source: Path, target: Path, propagation: str = "private", read_only: bool = False) -> None:
    """A bind mount as Kata makes it (kata-store.md, K13): the target is made, of the kind of the source."""
    make_target(source, target)
    mount(str(source), target, flags=MS_BIND)
    propagate(target, propagation)
    if read_only:
        mount(str(source), target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def make_target(source: Path, target: Path) -> None:
    """An empty directory or file to mount on, with its parents (0750, as Kata's)."""
    old = os.umask(0o027)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
    finally:
        os.umask(old)


def propagate(target: Path, kind: str, recursive: bool = False) -> None:
    """Make a mount private, slave or shared."""
    mount("none", target, flags=PROPAGATION[kind] | (MS_REC if recursive else 0))


def tmpfs(target: Path, options: str = "mode=755") -> None:
    """A fresh tmpfs. The target is made if it is not there."""
    target.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", target, "tmpfs", options=options)


def overlay(target: Path, lower: Path, work_root: Path) -> None:
    """An overlay as containerd's snapshotter makes it: the upper and work directories lie below work_root."""
    for folder in (target, lower, work_root / "fs", work_root / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={work_root / 'fs'},workdir={work_root / 'work'}"
    mount("overlay", target, "overlay", options=options)


def silent(target: Path) -> int:
    """A FUSE file system that answers nothing, not even to a look at it. The descriptor that keeps it; close it."""
    target.mkdir(parents=True, exist_ok=True)
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount("silent", target, "fuse", options=f"fd={descriptor},rootmode=40000,user_id=0,group_id=0")
    return descriptor


def small_ext4(target: Path, image: Path, size: int = 2 << 20) -> None:
    """A small ext4 in a file: it can be full for real. The loop device goes away with the mount."""
    target.mkdir(parents=True, exist_ok=True)
    with open(image, "wb") as handle:
        handle.truncate(size)
    _run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
    loop(image, target)


def loop(image: Path, target: Path) -> None:
    """Mount a file system that lies in a file. The loop device goes away with the mount."""
    _run("mount", "-o", "loop", str(image), str(target))


def edit_ext4(image: Path, request: str) -> None:
    """Change what no system call can, while it is not mounted: a request of debugfs."""
    _run("debugfs", "-w", "-R", request, str(image))


def fill(folder: Path) -> Path:
    """Take every byte that is left on the file system of a folder; the file that has them."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as handle:
        for size in (1 << 16, 1 << 12, 1):
            _write_on(handle, size)
    return ballast


def _write_on(handle: io.FileIO, size: int) -> None:
    try:
        while True:
            handle.write(bytes(size))
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise


def unmount(target: Path, flags: int = 0) -> None:
    """umount2(2). Raises OSError."""
    if _LIBC.umount2(os.fsencode(target), flags) != 0:
        raise _error(f"umount {target}")


def table(pid: int | str = "self") -> list[str]:
    """The mounts that a process sees, one line each: mount point, root inside the file system, type, source, options.

    Mount and peer numbers are left out, so that two tables of the same mounts are equal.
    """
    rows = []
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            head, _separator, tail = line.partition(" - ")
            fields = head.split()
            kind, source, options = tail.rstrip("\n").split(" ", 2)
            rows.append(f"{fields[4]} {fields[3]} {kind} {source} {fields[5]} {options}")
    return sorted(rows)


def below(path: Path, pid: int | str = "self") -> list[str]:
    """The mount points at and below a path, as a process sees them."""
    points = [row.partition(" ")[0].replace("\\040", " ") for row in table(pid)]
    return [point for point in points if point == str(path) or point.startswith(f"{str(path).rstrip('/')}/")]


def checksum(*paths: Path) -> str:
    """Of all names, kinds, modes, owners and contents at and below the paths; links are not followed."""
    digest = hashlib.sha256()
    for path in paths:
        for one in [path, *sorted(path.rglob("*"))] if path.is_dir() and not path.is_symlink() else [path]:
            facts = one.lstat()
            digest.update(f"{one}\0{facts.st_mode:o} {facts.st_uid} {facts.st_gid}\0".encode(errors="surrogateescape"))
            if stat.S_ISLNK(facts.st_mode):
                digest.update(os.fsencode(os.readlink(one)))
            elif stat.S_ISREG(facts.st_mode):
                digest.update(one.read_bytes())
    return digest.hexdigest()


def _error(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), what)


def _run(*command: str) -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    done = subprocess.run(
        command, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}: {done.stdout.strip()}")
