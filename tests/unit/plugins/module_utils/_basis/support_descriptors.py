# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other processes that have something open or locked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Child(NamedTuple):
    process: subprocess.Popen[str]
    pid: int
    first_line: str


@contextmanager
def python(code: str, *arguments: str, **options: object) -> Iterator[Child]:
    """Runs code and waits for its first line."""
    prefix = "import ctypes, fcntl, os, platform, sys, threading, time\n"
    child = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-c", prefix + code, *arguments], stdout=subprocess.PIPE, text=True, **options
    )
    try:
        assert child.stdout
        first_line = child.stdout.readline().strip()
        assert first_line, "the helper process failed"
        yield Child(child, child.pid, first_line)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


OPEN = "held = os.open(sys.argv[1], os.O_RDONLY)\n"


LOCK = OPEN + "fcntl.flock(held, fcntl.LOCK_EX)\n"


WAIT = "print(held, flush=True)\ntime.sleep(60)\n"


def inode_of(path: Path) -> Inode:
    status = path.stat()
    return status.st_dev, status.st_ino


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.write_text("")
    return path
