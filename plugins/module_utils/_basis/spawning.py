# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that outlives the task that starts it: no terminal, no descriptor but those it is given, its own session.

It waits for release() before it becomes the program, so that its pid can be written down first; if this process dies
before that, it ends without ever having been the program.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_ABOVE = 64  # where descriptors are put aside while the low numbers are given out
_FAILED = 127


class Spawned:
    """A child that waits to become the program."""

    def __init__(self, pid: int, go: int, problem: int, program: str) -> None:
        self.pid = pid
        self._go = go
        self._problem = problem
        self._program = program
        self._status: int | None = None

    def release(self) -> None:
        """Let it become the program. Raises StateError where it could not."""
        with contextlib.suppress(BrokenPipeError):  # killed while it waited, which ended() tells
            os.write(self._go, b"x")
        os.close(self._go)
        with open(self._problem, "rb") as pipe:  # closed by a successful exec
            told = pipe.read().decode("utf-8", "replace")
        if told:
            self.ended(wait=True)
            raise StateError(self._program, f"it could not be started: {told}")

    def abandon(self) -> None:
        """Let it end without becoming the program."""
        os.close(self._go)
        os.close(self._problem)
        self.ended(wait=True)

    def ended(self, wait: bool = False) -> str:
        """How it ended, "with status 1" or "by signal 9"; empty while it runs."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            except ChildProcessError:  # somebody has set SIGCHLD to be ignored
                return "" if os.path.exists(f"/proc/{self.pid}") else "with a status that is not known"
            if pid == 0:
                return ""
            self._status = status
        if os.WIFSIGNALED(self._status):
            return f"by signal {os.WTERMSIG(self._status)}"
        return f"with status {os.WEXITSTATUS(self._status)}"


def spawn(
    arguments: Sequence[str], inherited: Sequence[int], output: int, network_namespace: int | None = None
) -> Spawned:
    """Fork a child that will be this program. inherited: what it gets as descriptors 3, 4, …

    output: where its standard output and errors go. network_namespace: a descriptor of the one that it shall be in.
    Raises OSError.
    """
    go_read, go_write = os.pipe()
    problem_read, problem_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(arguments, inherited, output, network_namespace, go_read, problem_write)
    os.close(go_read)
    os.close(problem_write)
    return Spawned(pid, go_write, problem_read, arguments[0])


def _become(
    arguments: Sequence[str],
    inherited: Sequence[int],
    output: int,
    network_namespace: int | None,
    go: int,
    problem: int,
) -> NoReturn:
    try:
        kept = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in (output, *inherited)]
        go, problem = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in (go, problem))
        network = None if network_namespace is None else fcntl.fcntl(network_namespace, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
        # At once: locks that this process holds must not live on in a child that waits (safety.md C5).
        _close_all_but({*kept, go, problem, *(() if network is None else (network,))})
        os.setsid()
        if not os.read(go, 1):
            os._exit(0)
        if network is not None:
            syscalls.setns(network, syscalls.CLONE_NEWNET)
        _give_out(kept)
        _be_plain()
        os.execve(arguments[0], list(arguments), _ENVIRONMENT)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(problem, os_reason(error).encode())
    finally:
        os._exit(_FAILED)


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the one of this listing is closed already
                os.close(int(name))


def _give_out(kept: list[int]) -> None:
    """Nothing to read from, one place for all output, and from 3 on what is inherited."""
    # Put aside as the others: dup2 of a descriptor onto itself would leave it to be closed by exec.
    null = fcntl.fcntl(os.open("/dev/null", os.O_RDONLY), fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    output, *inherited = kept
    for number, descriptor in enumerate((null, output, output, *inherited)):
        os.dup2(descriptor, number)


def _be_plain() -> None:
    """What a program may expect to start with, whatever this task inherited from an ssh session or a timer."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # the C library keeps two for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o022)
    os.chdir("/")
