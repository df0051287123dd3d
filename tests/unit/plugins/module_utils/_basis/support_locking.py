# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks in a directory, and processes that hold them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# argv: path, kind of flock; prints a line when it holds the lock.
HOLDER = """
import fcntl, os, sys, time
path, kind = sys.argv[1:3]
fd = os.open(path, os.O_RDONLY)
fcntl.flock(fd, getattr(fcntl, kind))
print(flush=True)
time.sleep(600)
"""


@contextmanager
def held_by_another(path: Path, kind: str = "LOCK_EX") -> Iterator[subprocess.Popen[bytes]]:
    """A real other process that holds a flock on path."""
    command = ["lock-holder", "-c", HOLDER, str(path), kind]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child
        finally:
            child.kill()


def at_each_pause(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something whenever this process sleeps, which only one that waits for a lock does."""
    pause = time.sleep

    def sleep(seconds: float) -> None:
        act()
        pause(seconds)

    monkeypatch.setattr(time, "sleep", sleep)


def never() -> None:
    raise AssertionError("it waits")


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail, instead of hanging, when the work takes longer."""

    def expired(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "locks").mkdir()
    with open_given(str(tmp_path / "locks")) as opened:
        yield opened


def lock_file(directory: Directory, name: str = "a.lock") -> Path:
    path = Path(directory.path, name)
    path.touch()
    return path


def is_free(path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
