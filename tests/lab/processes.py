# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at processes and end those that the lab started; independent of the collection's own code, which it tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def argv(pid: int) -> list[str]:
    """The arguments of a process; empty when it is gone, a zombie, or one that has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as handle:
            return [word.decode(errors="replace") for word in handle.read().split(b"\0")[:-1]]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid: int) -> str:
    """The letter of a process's state in /proc/PID/stat, of its leader; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def lives(pid: int) -> bool:
    """Whether a process runs. PID 1 of a test host may be slow to reap, so a zombie with one thread counts as gone."""
    if state(pid) not in ("", "Z", "X"):
        return True
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def tracer(pid: int) -> int:
    """The pid of the process that traces it; 0: none."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("TracerPid:")))


def naming(token: str) -> list[int]:
    """The processes that have `token` as a whole argument, this one excepted."""
    pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and token in argv(pid)]


def kill(*pids: int) -> None:
    """SIGKILL, then wait until each is gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for pid in pids:
        wait_until(lambda pid=pid: not lives(pid), f"pid {pid} to end")  # type: ignore[misc]


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, on a busy machine too. Raises TimeoutError naming what did not happen."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.01)


def seconds_since_change(path: Path) -> float:
    """How long ago the newest change at or below a path was made."""
    return time.time() - max(one.lstat().st_ctime for one in [path, *path.rglob("*")])


def waits_for_lock(inode: int) -> list[int]:
    """The processes that wait for a flock on this inode, as /proc/locks says it (`->`)."""
    with open("/proc/locks", encoding="ascii") as handle:
        rows = [line.split() for line in handle]
    return [int(row[5]) for row in rows if row[1] == "->" and int(row[6].rpartition(":")[2]) == inode]


def holds_lock(file: os.stat_result) -> list[int]:
    """The processes that hold a flock on this file, as /proc/locks says it."""
    with open("/proc/locks", encoding="ascii") as handle:
        rows = [line.split() for line in handle]
    pids = [int(row[4]) for row in rows if row[1] != "->" and int(row[5].rpartition(":")[2]) == file.st_ino]
    # Its device is the superblock's, which stat need not tell, so the same number elsewhere is told by who has it open.
    return [pid for pid in pids if _has_open(pid, file)]


def _has_open(pid: int, file: os.stat_result) -> bool:
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(FileNotFoundError):
            found = link.stat()
            if (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino):
                return True
    return False


def opened(path: Path) -> list[int]:
    """The processes that have this file open."""
    return sorted({int(link.parts[2]) for link in Path("/proc").glob("[0-9]*/fd/*") if _leads_to(link, path)})


def _leads_to(link: Path, path: Path) -> bool:
    try:
        return os.readlink(link) == str(path)
    except OSError:
        return False
