# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""System calls: which are worth a fault, how strace is told to make one, and what it wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT

KILL = "SIGKILL"
PAUSE = "pause"
_PAUSE_MICROSECONDS = 600_000_000  # until strace is ended
# The errors that each call can meet. A crash before a call that changes something is another state of the disk.
_SPACE, _BROKEN = ("ENOSPC", "EIO"), ("EIO",)
CHANGING: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("creat", "mkdir", "mkdirat", "mknod", "mknodat"), ("ENOSPC", "EACCES", "EIO")),
    **dict.fromkeys(("link", "linkat", "symlink", "symlinkat"), ("ENOSPC", "EACCES", "EIO")),
    **dict.fromkeys(("rename", "renameat", "renameat2"), ("ENOSPC", "EACCES", "EIO")),
    **dict.fromkeys(("write", "pwrite64", "writev", "sendfile", "copy_file_range", "fallocate"), _SPACE),
    **dict.fromkeys(("truncate", "ftruncate"), ("EIO",)),
    **dict.fromkeys(("fsync", "fdatasync", "sync_file_range"), _SPACE),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), ("EACCES", "EPERM", "EIO")),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat"), ("EPERM", "EIO")),
    **dict.fromkeys(("setxattr", "lsetxattr", "fsetxattr"), ("ENOSPC", "EPERM")),
    **dict.fromkeys(("removexattr", "lremovexattr", "fremovexattr"), ("EPERM",)),
    **dict.fromkeys(("utime", "utimes", "utimensat"), ("EPERM",)),
    **dict.fromkeys(("mount", "umount2"), ("EPERM", "EBUSY")),
}
READING: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "faccessat2"), _BROKEN),
    **dict.fromkeys(("readlink", "readlinkat"), _BROKEN),
    **dict.fromkeys(("read", "pread64", "getdents64"), _BROKEN),
    **dict.fromkeys(("listxattr", "llistxattr", "flistxattr", "getxattr", "lgetxattr", "fgetxattr"), _BROKEN),
    "flock": ("ENOLCK",),
}
OPENING = ("open", "openat")  # changing or reading, as their flags say
_CALL = re.compile(r"(\w+)\((.*?)(?:\)\s+= .*|\s*<unfinished \.\.\.>.*)")
_PATH = re.compile(r'(?:(?:AT_FDCWD|_)<([^>]*)>, )?"([^"]*)"|_<([^>]*)>')


class Call(NamedTuple):
    """A system call of a traced run. number: it is the how-manieth of its name, from 1 on. text: its arguments."""

    name: str
    number: int
    text: str

    @property
    def changes(self) -> bool:
        """Whether the call can change the disk."""
        if self.name in OPENING:
            return bool(re.search(r"O_CREAT|O_TRUNC|O_WRONLY|O_RDWR", self.text))
        return self.name in CHANGING

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors that it can meet."""
        if self.name in OPENING:
            return ("ENOSPC", "EACCES", "EIO") if "O_CREAT" in self.text else _BROKEN
        return CHANGING.get(self.name) or READING[self.name]

    @property
    def place(self) -> str:
        """The file, or the directory in which a name is looked for: what strace selects calls by."""
        match = _PATH.search(self.text)
        if match is None:
            return ""
        directory, name, descriptor = match.groups()
        return str(descriptor or (directory if directory and not name.startswith("/") else name))

    def paths(self) -> list[str]:
        """The paths below ROOT that its arguments name, as "@ROOT@/…"."""
        found = []
        for directory, name, descriptor in _PATH.findall(self.text):
            below = directory if name in ("", ".") else f"{directory}/{name}"
            path = descriptor or (name if name.startswith("/") or not directory else below)
            if path == ROOT or path.startswith(f"{ROOT}/"):
                found.append(path)
        return found


class Point(NamedTuple):
    """A fault at a call: an error's name, or KILL or PAUSE, which come before the call does anything.

    lasts: all calls of this name on the same directory or file meet the error, as with a permission that is missing.
    """

    call: Call
    fault: str
    lasts: bool = False

    @property
    def kills(self) -> bool:
        return self.fault == KILL

    def __str__(self) -> str:
        which = f"every {self.call.name} like" if self.lasts else f"{self.call.name} {self.call.number}:"
        return f"{self.fault} at {which} {self.call.name}({self.call.text})"


def words(pid: int, trace: Path, paths: list[Path], point: Point | None) -> list[str]:
    """The strace command for a process. paths: the only ones that count; none: all do."""
    calls = ",".join(f"?{name}" for name in (*OPENING, *CHANGING, *READING))
    command = ["strace", "-y", "-s", "0", "-e", "signal=none", "-o", str(trace), "-p", str(pid), "-e", f"trace={calls}"]
    for path in paths:
        command += ["-P", str(path)]
    if point is not None:
        special = {KILL: f"signal={KILL}", PAUSE: f"delay_enter={_PAUSE_MICROSECONDS}"}
        fault = special.get(point.fault, f"error={point.fault}")
        when = "1+" if point.lasts else point.call.number
        command += ["-e", f"inject={point.call.name}:{fault}:when={when}"]
    return command


def is_paused(trace: Path, call: Call) -> bool:
    """Whether the traced process waits at this call: strace has written its arguments, and not yet how it ended."""
    *ended, last = trace.read_text(encoding="utf-8", errors="replace").split("\n")
    number = sum(line.startswith(f"{call.name}(") for line in (*ended, last))
    return last.startswith(f"{call.name}(") and number == call.number


def calls(trace: Path, root: Path) -> list[Call]:
    """The calls that a trace shows, in order."""
    found: list[Call] = []
    counts: dict[str, int] = {}
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _CALL.fullmatch(line)
        if match:
            name, text = match[1], match[2].replace(str(root), ROOT)
            counts[name] = counts.get(name, 0) + 1
            found.append(Call(name, counts[name], _without_chance(text)))
    return found


def _without_chance(text: str) -> str:
    """Arguments without what differs between runs: addresses, sizes and numbers of descriptors."""
    return re.sub(r"\{[^}]*\}|0x[0-9a-f]+(?: /\*[^*]*\*/)?|\b\d+(?=<)", "_", text)
