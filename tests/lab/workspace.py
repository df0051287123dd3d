# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place for real software to run in: a short temporary folder, processes that do not outlive it, one at a time."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.lab import cgroups, processes
from ansible_collections.sandboxed.containers.tests.lab.packages import lab_dir

LONGEST_FOLDER = 60


class Outcome(NamedTuple):
    """How a command ended: its exit code and all that it printed."""

    code: int
    output: str


class Running:
    """A command at work. Its output goes to a pipe, because runsc hands its own standard output to the container."""

    def __init__(self, command: Sequence[str]) -> None:
        self._output, write_end = os.pipe()
        try:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        self.pid = self.popen.pid
        self._printed = b""

    def wait(self, timeout: float = 30.0) -> Outcome:
        """Wait for the command itself, not for the containers that hold its pipe. Raises subprocess.TimeoutExpired."""
        if self.popen.poll() is None:
            # Not by Popen.wait, which with a timeout looks only every 50 ms: tests run commands by the thousand.
            end = os.pidfd_open(self.pid)
            try:
                ended = select.select([end], [], [], timeout)[0]
            finally:
                os.close(end)
            if not ended:
                raise subprocess.TimeoutExpired(self.popen.args, timeout)
        return Outcome(self.popen.wait(), self.printed().strip())

    def printed(self) -> str:
        """What it has printed so far; does not wait."""
        while select.select([self._output], [], [], 0)[0]:
            block = os.read(self._output, 65536)
            if not block:
                break
            self._printed += block
        return self._printed.decode(errors="replace")

    def close(self) -> None:
        """End it and what it started in its own process group, as strace does; safe to call twice."""
        if self.popen.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)  # not reaped yet, so the number is still that of this group
        self.popen.wait()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1


class Workspace:
    """A temporary folder; on leaving it, what was started is ended and the folder removed.

    One at a time in a checkout: the collection looks at all processes of the host, so tests that use the same names
    side by side would see each other's containers. alone=False: what runs in it sees no processes but its own, so
    others like it may be open at the same time.
    """

    def __init__(self, alone: bool = True) -> None:
        self._turn = _take_turn(alone)
        self.folder = _short_folder()
        self._running: list[Running] = []

    def spawn(self, command: Sequence[str]) -> Running:
        """Start any process that must not outlive this workspace."""
        running = Running(command)
        self._running.append(running)
        return running

    def close(self) -> None:
        """End what was started here and remove the folder; safe to call twice."""
        self.end_all()
        if self.folder.exists():
            shutil.rmtree(self.folder)
        if self._turn >= 0:
            os.close(self._turn)
            self._turn = -1

    def end_all(self) -> None:
        """End what spawn started and what is still running of it."""
        for running in self._running:
            running.close()
        self._running.clear()


def _take_turn(alone: bool) -> int:
    """Wait until no other workspace of this checkout is open that does not go with this one; the lock ends with us.

    Where none is open at all, what is left of earlier ones goes. -1: nowhere to put a lock.
    """
    try:
        lab_dir().mkdir(parents=True, exist_ok=True)
        handle = os.open(lab_dir() / "turn.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return -1
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if alone else fcntl.LOCK_NB))
        _sweep()
    except BlockingIOError:
        pass
    if not alone:
        fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _sweep() -> None:
    """Remove what is left of workspaces whose process was killed. No other one is open."""
    for folder in (lab_dir() / "run").glob("tmp*"):
        clear(folder)


def clear(folder: Path) -> None:
    """Remove what is left of the workspace with this folder, whose process was killed."""
    root = folder / "root"
    processes.kill(*processes.naming(str(root)), *processes.naming(f"--root={root}"), *cgroups.pids(folder.name))
    cgroups.remove(folder.name)
    shutil.rmtree(folder)


def _short_folder() -> Path:
    """A new folder below the lab's own one, or where the machine keeps temporary files if that path is too long."""
    inside = lab_dir() / "run"
    if len(str(inside)) <= LONGEST_FOLDER:
        try:
            inside.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=inside))
        except OSError:
            pass  # a read-only checkout: the machine's own place for temporary files serves as well
    return Path(tempfile.mkdtemp(prefix="lab-"))
