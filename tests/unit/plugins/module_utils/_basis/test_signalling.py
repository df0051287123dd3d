# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import processes, signalling
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.tests.lab.processes import wait_until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
MEEK = "import time; print(flush=True); time.sleep(60)"


@contextmanager
def running(code: str) -> Iterator[tuple[subprocess.Popen[bytes], Process]]:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout
        child.stdout.readline()
        process = processes.read(child.pid)
        assert process
        yield child, process
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def test_E1_terminates_and_does_not_wait_for_the_reaper() -> None:
    with running(MEEK) as (child, process):
        began = time.monotonic()
        assert signalling.stop(process, timeout=120) is True
        assert time.monotonic() - began < 60
        now = processes.read(child.pid)  # nobody has reaped it
        assert now and now.dead
        assert signalling.stop(process, timeout=60) is False
        assert child.wait() == -signal.SIGTERM
    assert signalling.stop(process, timeout=60) is False


@pytest.mark.parametrize("seconds", [2147484.0, 1e12, 1e308])
def test_it_may_have_all_the_time_there_is(seconds: float) -> None:
    with running(MEEK) as (child, process):
        assert signalling.stop(process, timeout=seconds + 10, kill_after=seconds) is True
        assert child.wait() == -signal.SIGTERM


def test_E1_kills_only_after_the_time_for_an_orderly_end() -> None:
    with running(STUBBORN) as (child, process):
        began = time.monotonic()
        assert signalling.stop(process, timeout=120, kill_after=0.3) is True
        assert 0.3 <= time.monotonic() - began < 60
        assert child.wait() == -signal.SIGKILL


def test_E1_without_kill_a_stubborn_process_is_in_use() -> None:
    with running(STUBBORN) as (child, process):
        with pytest.raises(InUse, match=f"pid {child.pid}.*still runs 0.2 seconds"):
            signalling.stop(process, timeout=0.2)
        assert child.poll() is None


def test_A1_a_stopped_process_is_killed_at_last() -> None:
    with running(MEEK) as (child, process):
        os.kill(child.pid, signal.SIGSTOP)
        assert signalling.stop(process, timeout=60, kill_after=0.2) is True
        assert child.wait() in (-signal.SIGKILL, -signal.SIGTERM)  # SIGKILL wakes it, the one that waited may win


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"exe": "/bin/other"}, {"argv": ("other",)}])
def test_R7_another_identity_is_never_signalled(change: dict[str, object]) -> None:
    # As a recorded pid that was given to another process meanwhile.
    with running(MEEK) as (child, process):
        with pytest.raises(ChangedMeanwhile, match="nothing was signalled"):
            signalling.stop(process._replace(**change), timeout=1, kill_after=0)  # type: ignore[arg-type]
        time.sleep(0.1)
        assert child.poll() is None


def test_R7_the_end_of_another_process_of_its_number_says_nothing_of_it() -> None:
    with running(MEEK) as (child, process):
        child.kill()
        wait_until(lambda: (now := processes.read(child.pid)) is None or now.dead, "its end")
        assert signalling.stop(process, timeout=1) is False
        with pytest.raises(ChangedMeanwhile, match="nothing was signalled"):
            signalling.stop(process._replace(start_ticks=1), timeout=1)


def test_R7_a_program_replaced_by_exec_is_never_signalled() -> None:
    code = "import os, sys; print(flush=True); sys.stdin.readline(); os.execv('/bin/sleep', ['sleep', '60'])"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout and child.stdin
        child.stdout.readline()
        process = processes.read(child.pid)
        assert process
        child.stdin.write(b"\n")
        child.stdin.flush()
        wait_until(lambda: os.readlink(f"/proc/{child.pid}/exe") != process.exe, "the other program")
        with pytest.raises(ChangedMeanwhile):
            signalling.stop(process, timeout=1, kill_after=0)
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("after", ["_stat", "_arguments"])
def test_E1_one_that_ends_while_it_is_looked_at_has_ended(monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    """A daemon's second process follows the first, at any moment between two reads of what it is."""
    with running(MEEK) as (child, process):
        reading = getattr(processes, after)

        def read_before_its_end(*arguments: object) -> object:
            found = reading(*arguments)
            os.kill(child.pid, signal.SIGKILL)  # Popen would reap it the second time
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            return found

        monkeypatch.setattr(processes, after, read_before_its_end)
        assert signalling.stop(process, timeout=60) is False


def test_E1_an_identity_that_cannot_be_read_is_never_signalled() -> None:
    with running(MEEK) as (child, process):
        with pytest.raises(NotProved):
            signalling.stop(process._replace(complete=False), timeout=0.1)
        assert child.poll() is None


def test_E1_without_pidfd_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(MEEK) as (child, process):
        monkeypatch.delattr(os, "pidfd_open")
        with pytest.raises(NotProved, match="pidfd"):
            signalling.stop(process, timeout=1)
        assert child.poll() is None


def test_E1_never_init_and_never_ourselves() -> None:
    for pid in (1, os.getpid()):
        process = processes.read(pid)
        assert process
        with pytest.raises(NotProved, match="never signalled"):
            signalling.stop(process, timeout=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_E1_no_permission_is_said() -> None:
    with running(MEEK) as (child, process):
        forked = os.fork()
        if forked == 0:
            code = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                signalling.stop(process, timeout=0.1)
            except StateError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(forked, 0)[1] == 0
        assert child.poll() is None
