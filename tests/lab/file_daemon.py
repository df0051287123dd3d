# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start the real virtiofsd as Kata does: on a socket that listens already, handed on as descriptor 3.

with FileDaemon("rust", socket_path, shared_dir) as daemon:
    ...
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.lab import real_programs

EXECUTABLES: dict[str, Callable[[], Path]] = {
    "rust": real_programs.standalone_virtiofsd,
    "c": real_programs.standalone_old_virtiofsd,
}


def words(dialect: str, shared_dir: Path) -> list[str]:
    """The arguments, in the spelling of the dialect."""
    if dialect == "c":
        return ["-o", f"source={shared_dir}", "-o", "cache=auto", "--fd=3", "-f"]
    return ["--shared-dir", str(shared_dir), "--cache", "auto", "--fd=3"]


class FileDaemon:
    """A running daemon; leaving its context ends it with its children and removes its socket. Raises Unavailable."""

    def __init__(self, dialect: str, socket_path: Path, shared_dir: Path, more: Sequence[str] = ()) -> None:
        self.socket_path = socket_path
        self._command = [str(EXECUTABLES[dialect]()), *words(dialect, shared_dir), *more]
        self._printed = b""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(socket_path))
            listener.listen(1)
            self.popen = self._start(listener.fileno())
        self.pid = self.popen.pid

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[3],
            preexec_fn=lambda: os.dup2(descriptor, 3),
        )

    def __enter__(self) -> FileDaemon:
        return self

    def __exit__(self, *_why: object) -> None:
        self.stop()

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired."""
        return self.popen.wait(timeout)

    def printed(self, until: str = "", timeout: float = 30.0) -> str:
        """What it has printed so far; `until` waits for that text. Raises TimeoutError."""
        assert self.popen.stdout is not None  # asked for in _start
        deadline = time.monotonic() + timeout
        while True:
            seen = self._printed.decode(errors="replace")
            waits = deadline - time.monotonic() if until and until not in seen else 0.0
            block = b""
            if select.select([self.popen.stdout], [], [], max(0.0, waits))[0]:
                block = os.read(self.popen.stdout.fileno(), 65536)
            if block:
                self._printed += block
            elif until and until not in seen:
                raise TimeoutError(f"waited for {until!r}, virtiofsd printed: {seen}")
            else:
                return seen

    def stop(self) -> None:
        """End it; safe to call twice."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # its session is its own, and a child may outlive it
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        self.socket_path.unlink(missing_ok=True)
